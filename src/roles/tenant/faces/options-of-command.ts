import type { Argv } from 'yargs'
import { KeylimeError } from '../../../core/errors.ts'
import type { TenantCommand } from '../tenant-options.ts'

/** Options that say how a command runs and where the servers are: every command has them. */
const ALWAYS = ['registrarhost', 'registrarport', 'cv', 'cvport', 'timeout', 'json', 'quiet', 'debug', 'nvc', 'verifier-check']
const WHICH = ['targethost', 'targetport', 'uuid']
const WHERE = ['cv_targethost', 'agent-api-version', 'push-model']
const PAYLOAD = ['file', 'cert', 'include', 'key', 'payload', 'verify', 'password-file', 'wait-script']
const RUNTIME = ['runtime-policy', 'runtime-policy-name', 'runtime-policy-checksum', 'runtime-policy-sig-key', 'tpm_policy']
const BOOT = ['mb-policy', 'mb-policy-name']
const ADD = [...WHICH, ...WHERE, ...PAYLOAD, ...RUNTIME, ...BOOT, 'wait']

/** What has an effect with each command, beside the options of every command. */
const USED: Readonly<Record<TenantCommand, readonly string[]>> = {
  add: ADD,
  update: [...ADD, 'drop'],
  delete: WHICH,
  list: ['cvid'],
  status: WHICH,
  explain: [...WHICH, 'all', 'patch', 'only', 'judge', 'packages', 'runtime-policy', 'mb-policy', 'tpm_policy'],
  cvstatus: WHICH,
  regstatus: WHICH,
  reglist: [],
  cvlist: ['cvid'],
  bulkinfo: ['cvid'],
  reactivate: [...WHICH, 'wait'],
  regdelete: WHICH,
  revocations: [],
  addruntimepolicy: RUNTIME,
  updateruntimepolicy: RUNTIME,
  showruntimepolicy: ['runtime-policy-name'],
  deleteruntimepolicy: ['runtime-policy-name'],
  listruntimepolicy: [],
  addmbpolicy: BOOT,
  updatembpolicy: BOOT,
  showmbpolicy: ['mb-policy-name'],
  deletembpolicy: ['mb-policy-name'],
  listmbpolicy: [],
}

/** Names of all options that have an effect with a command. */
export const optionsOfCommand = (command: TenantCommand): readonly string[] => [...USED[command], ...ALWAYS]

/** Leaves only the options of one command in the help. */
export function hideOthers(command: TenantCommand, yargs: Argv): Argv {
  const used = new Set(optionsOfCommand(command))
  return [...EVERY].filter((name) => !used.has(name)).reduce((cli, name) => cli.hide(name), yargs)
}

const EVERY = new Set([...Object.values(USED).flat(), ...ALWAYS])

/**
 * An option that a command would pass over is a slip: `list -u X` shows all, and whoever wrote it thinks of one. @param given options of the command line that
 * have a value, by their long names. @throws KeylimeError `usage` that names them.
 */
export function refuseWithoutEffect(command: TenantCommand, given: readonly string[]): void {
  const used = new Set(optionsOfCommand(command))
  const idle = given.filter((name) => EVERY.has(name) && !used.has(name))
  if (idle.length === 0) return
  const names = idle.map((name) => `--${name}`).join(' and ')
  const elsewhere = Object.entries(USED).flatMap(([word, options]) => (options.includes(idle[0]!) ? [word] : []))
  throw new KeylimeError('usage', `\`keylime tenant ${command}\` has no use for ${names}`, {
    hint: `leave it out; ${elsewhere.length > 0 ? `--${idle[0]} belongs to: ${elsewhere.join(', ')}` : `see \`keylime tenant ${command} --help\``}`,
  })
}
