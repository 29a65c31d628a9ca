import { COMMANDS, type TenantCommand } from '../tenant-options.ts'

/** What each word does, for the help. */
export const TENANT_WORDS: Readonly<Record<TenantCommand, string>> = {
  add: 'Enrol a machine and deliver a payload; this without a word',
  update: 'Change what is named, deliver again; the rest stays',
  delete: 'End the enrolment: the verifier asks the machine no more',
  list: 'Every machine, its state, and why it failed',
  history: 'What became of a machine, or of all',
  status: 'All of one machine: demands, verdict, payload',
  explain: 'Why it failed, and the change that would accept it',
  cvstatus: 'What the verifier has of it',
  regstatus: 'What the registrar has of it',
  reglist: 'Ids that are registered',
  cvlist: 'Ids that are enrolled',
  bulkinfo: 'The verifier’s state of all, for scripts',
  attest: 'Attest a machine now, not when its interval is over',
  reactivate: 'Attest a machine again that failed or was stopped',
  revoke: 'Stolen: tell the others, and let it never come back',
  replace: 'A new TPM or a new system under the same id',
  forget: 'Out of service: delete it everywhere',
  rename: 'Another id: OLD NEW',
  regdelete: 'Delete the registration',
  revocations: 'Who was told of what failed, and who acted',
  addruntimepolicy: 'Store a runtime policy under a name',
  updateruntimepolicy: 'Put another in its place',
  showruntimepolicy: 'Show it',
  deleteruntimepolicy: 'Delete it, when no machine is judged by it',
  listruntimepolicy: 'Names of those that are stored',
  addmbpolicy: 'Store a measured boot policy under a name',
  updatembpolicy: 'Put another in its place',
  showmbpolicy: 'Show it',
  deletembpolicy: 'Delete it, when no machine is judged by it',
  listmbpolicy: 'Names of those that are stored',
}

/** Command lines for the help, each of the word that it shows. */
const EXAMPLES: readonly { word: TenantCommand; line: string; does: string }[] = [
  { word: 'add', line: '-t 10.0.0.7 --cert ca --include payload', does: 'deliver certificates and the files of ./payload' },
  { word: 'add', line: 'add -u d432 -f secret.txt', does: 'deliver one file to the agent whose id begins with d432' },
  {
    word: 'add',
    line: 'add -u d432 --push-model --cert --include payload',
    does: 'the same for a machine behind NAT, also one that is off',
  },
  { word: 'update', line: 'update --all -f secret.txt', does: 'a new secret for every machine that is trusted' },
  { word: 'attest', line: 'attest laptop-7', does: 'does it meet its policy at this moment?' },
  { word: 'attest', line: 'attest --policy fleet --no-wait', does: 'ask all that must prove this policy, and wait for none' },
  { word: 'reactivate', line: 'reactivate laptop-7', does: 'its cause is mended: it may prove itself again' },
  { word: 'revoke', line: 'revoke laptop-7', does: 'stolen: tell the others, and let it never come back' },
  { word: 'list', line: 'list', does: 'every machine, its state, and why it failed' },
  { word: 'status', line: 'status -t 10.0.0.7', does: 'what registrar and verifier say' },
  { word: 'explain', line: 'explain -u d432 --patch change.json', does: 'why it failed, and the smallest change that would accept it' },
]
/** Of these the help of the whole has none: it would be too long. */
const IN_THEIR_OWN: ReadonlySet<TenantCommand> = new Set(['attest', 'reactivate'])

/** Of one word, or of the whole: command lines, and what each does. */
export const examplesOf = (asked: TenantCommand | undefined): [line: string, does: string][] =>
  EXAMPLES.filter(({ word }) => (asked === undefined ? !IN_THEIR_OWN.has(word) : word === asked)).map(({ line, does }) => [
    `keylime tenant ${line}`,
    does,
  ])

/** What the help begins with: what the word that is asked about does, or all of them. */
export const usageText = (asked: TenantCommand | undefined): string =>
  asked === undefined
    ? `Enrols machines, delivers payloads to those that prove what they run, and shows what became of it.\n\nUsage: keylime tenant WORD [options]\n\n${wordLines()}`
    : `${TENANT_WORDS[asked]}.\n\nUsage: keylime tenant ${asked} [options]`

/** Texts of options that mean something of their own with a word. */
export function optionTexts(asked: TenantCommand | undefined): Record<'ids' | 'many' | 'all' | 'wait' | 'timeout', string> {
  const isVerdict = asked === 'attest' || asked === 'reactivate'
  const each = asked === 'explain' ? 'Every failure, not only the first 20' : 'Every machine'
  return {
    ids:
      asked === undefined || asked === 'rename'
        ? 'Ids of agents, as with -u; rename takes the old and the new one'
        : 'Ids of agents, as with -u',
    many: asked === undefined ? MANY_OF_ALL : 'Many machines (also several -u or -t):',
    all: asked === undefined ? 'Every machine; with explain: every failure, not only the first 20' : each,
    wait: isVerdict
      ? 'Wait for the verdict (default; --no-wait: do not)'
      : 'Wait for the verdict, and for a machine that comes for its payload (default; --no-wait: do not)',
    timeout: isVerdict ? 'Seconds to wait for it; default: 60' : 'Seconds to wait; default: 60, for a machine that brings its evidence 120',
  }
}

const MANY_OF_ALL = 'Many machines (add, update, attest, reactivate, delete, revoke, forget; also several -u or -t):'

function wordLines(): string {
  const width = Math.max(...COMMANDS.map((word) => word.length))
  return COMMANDS.map((word) => `  ${word.padEnd(width)}  ${TENANT_WORDS[word]}`).join('\n')
}
