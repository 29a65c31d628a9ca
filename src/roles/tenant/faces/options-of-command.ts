import type { Argv } from 'yargs'
import { refuseWithoutEffect } from '../../../core/cli/without-effect.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { TenantCommand } from '../tenant-options.ts'

/** Options that say how a command runs and where the servers are: every command has them. */
const ALWAYS = ['registrarhost', 'registrarport', 'cv', 'cvport', 'timeout', 'json', 'quiet', 'debug', 'nvc', 'verifier-check']
const WHICH = ['targethost', 'targetport', 'uuid', 'ids']
/** Several at once. */
const MANY = ['all', 'policy', 'state', 'from', 'parallel', 'dry-run', 'resume']
/** `list` shows those that fit. */
const WHICH_MANY = ['targethost', 'uuid', 'ids', 'policy', 'state']
const WHERE = ['cv_targethost', 'agent-api-version', 'push-model']
const PAYLOAD = ['file', 'cert', 'include', 'key', 'payload', 'sealed', 'verify', 'password-file', 'wait-script']
const RUNTIME = ['runtime-policy', 'runtime-policy-name', 'runtime-policy-checksum', 'runtime-policy-sig-key', 'tpm_policy']
const BOOT = ['mb-policy', 'mb-policy-name']
/** Whose certificate it is that ends. */
const AUTHORITY = ['cert', 'password-file']
const ADD = [...WHICH, ...WHERE, 'name', ...PAYLOAD, ...RUNTIME, ...BOOT, 'wait']

/** What has an effect with each command, beside the options of every command. */
const USED: Readonly<Record<TenantCommand, readonly string[]>> = {
  add: [...ADD, ...MANY],
  update: [...ADD, ...MANY, 'drop'],
  delete: [...WHICH, ...MANY, 'yes'],
  list: [...WHICH_MANY, 'cvid', 'csv', 'ask'],
  history: ['uuid', 'targethost', 'ids', 'since', 'until', 'csv'],
  status: WHICH,
  explain: [...WHICH, 'all', 'patch', 'only', 'judge', 'packages', 'runtime-policy', 'mb-policy', 'tpm_policy'],
  cvstatus: WHICH,
  regstatus: WHICH,
  reglist: [],
  cvlist: ['cvid'],
  bulkinfo: ['cvid'],
  attest: [...WHICH, ...MANY, 'wait'],
  reactivate: [...WHICH, ...MANY, 'wait'],
  revoke: [...WHICH, ...MANY, ...AUTHORITY, 'yes'],
  replace: [...ADD, 'yes'],
  forget: [...WHICH, ...MANY, ...AUTHORITY, 'yes'],
  rename: [...ADD, 'yes'],
  regdelete: [...WHICH, 'yes'],
  expect: ['uuid', 'ids', 'ek-hash', 'serial', 'note', 'list', 'forget'],
  pending: [],
  ekroots: ['uuid', 'ids'],
  approve: ['uuid', 'ids', 'ek-hash', 'refuse'],
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

/** @throws KeylimeError `usage` for options that the command has no use for. @param given long names of those that the command line has. */
export function refuseIdleOptions(command: TenantCommand, given: readonly string[]): void {
  if (given.includes('ids') && !USED[command].includes('ids'))
    throw new KeylimeError('usage', `\`keylime tenant ${command}\` takes no id`, {
      hint: `it is for all; \`keylime tenant ${command} --help\``,
    })
  refuseWithoutEffect({ program: 'keylime tenant', used: USED, always: ALWAYS }, command, given)
}
