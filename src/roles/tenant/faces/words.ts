import { COMMANDS, type TenantCommand } from '../tenant-options.ts'

/** What each word does, for the help. */
export const TENANT_WORDS: Readonly<Record<TenantCommand, string>> = {
  add: 'Enrol a machine and deliver a payload; the default',
  update: 'Change what you name or deliver again; keep the rest',
  delete: 'End the enrolment: the verifier stops attesting the machine',
  list: 'Show every machine, its state, and why it failed',
  history: 'Show what happened to one machine, or to all',
  status: 'Show one machine: policies, verdict, payload',
  explain: 'Show why it failed, and the change that would accept it',
  cvstatus: 'Show what the verifier knows about a machine',
  regstatus: 'Show what the registrar knows about a machine',
  reglist: 'List the ids that are registered',
  cvlist: 'List the ids that are enrolled',
  bulkinfo: 'Show the verifier’s state of all machines, for scripts',
  attest: 'Attest a machine now instead of at its next interval',
  reactivate: 'Attest a machine again after it failed or was stopped',
  revoke: 'After a theft: tell the others, and keep it out for good',
  replace: 'Keep the id for a new TPM or a new installation',
  forget: 'Decommission a machine: delete it everywhere',
  rename: 'Give a machine another id: OLD NEW',
  regdelete: 'Delete the registration',
  expect: 'Say which TPM may register, before its machine exists',
  pending: 'List the machines that wait for your approval',
  approve: 'Register a machine that waits, or refuse it',
  ekroots: 'Show, add or check root certificates of TPM makers',
  revocations: 'Show who was told of each revocation, and who acted',
  addruntimepolicy: 'Store a runtime policy under a name',
  updateruntimepolicy: 'Replace a stored runtime policy',
  showruntimepolicy: 'Show a stored runtime policy',
  deleteruntimepolicy: 'Delete a runtime policy that no machine uses',
  listruntimepolicy: 'List the stored runtime policies',
  addmbpolicy: 'Store a measured boot policy under a name',
  updatembpolicy: 'Replace a stored measured boot policy',
  showmbpolicy: 'Show a stored measured boot policy',
  deletembpolicy: 'Delete a measured boot policy that no machine uses',
  listmbpolicy: 'List the stored measured boot policies',
}

/** Command lines for the help, each of the word that it shows. */
const EXAMPLES: readonly { word: TenantCommand; line: string; does: string }[] = [
  { word: 'add', line: '-t 10.0.0.7 --cert ca --include payload', does: 'deliver certificates and the files in ./payload' },
  { word: 'add', line: 'add -u d432 -f secret.txt', does: 'deliver one file to the machine with an id that begins with d432' },
  {
    word: 'add',
    line: 'add -u d432 --push-model --cert --include payload',
    does: 'deliver to a machine behind NAT, even if it is off',
  },
  { word: 'update', line: 'update --all -f secret.txt', does: 'deliver a new secret to every machine that has not failed' },
  { word: 'attest', line: 'attest laptop-7', does: 'find out whether it meets its policy right now' },
  { word: 'attest', line: 'attest --policy fleet --no-wait', does: 'attest all machines with this policy, and do not wait' },
  { word: 'reactivate', line: 'reactivate laptop-7', does: 'attest it again, because the cause is fixed' },
  { word: 'revoke', line: 'revoke laptop-7', does: 'after a theft: tell the others, and keep it out for good' },
  { word: 'list', line: 'list', does: 'show every machine, its state, and why it failed' },
  { word: 'status', line: 'status -t 10.0.0.7', does: 'show everything about one machine' },
  { word: 'expect', line: 'expect --ek-hash 3f1c… -u rack-7', does: 'only this TPM may register as rack-7' },
  {
    word: 'expect',
    line: 'expect --serial 1A2B3C --note "order 4711"',
    does: 'the TPM with this serial in its EK certificate may register',
  },
  { word: 'expect', line: 'expect --list', does: 'show which TPMs are expected or refused, and who said so' },
  { word: 'expect', line: 'expect --forget --ek-hash 3f1c…', does: 'take it back; what is registered stays registered' },
  { word: 'pending', line: 'pending', does: 'show who waits, with the hash of its EK' },
  { word: 'approve', line: 'approve -u rack-7 --ek-hash 3f1c…', does: 'register it, if this is its TPM' },
  { word: 'approve', line: 'approve -u rack-7 --refuse', does: 'keep its TPM from registering' },
  { word: 'ekroots', line: 'ekroots list', does: 'show the certificates of TPM makers in tpm_cert_store' },
  { word: 'ekroots', line: 'ekroots add maker.pem', does: 'add all certificates of a file' },
  { word: 'ekroots', line: 'ekroots check ek.der', does: 'show to which root an EK certificate chains, or whose root is missing' },
  { word: 'ekroots', line: 'ekroots check -u rack-7', does: 'the same for the EK certificate of a registered machine' },
  {
    word: 'explain',
    line: 'explain -u d432 --patch change.json',
    does: 'show why it failed, and write the smallest change that would accept it',
  },
]
/** Of these the help of the whole has none: it would be too long. */
const IN_THEIR_OWN: ReadonlySet<TenantCommand> = new Set(['attest', 'reactivate', 'expect', 'pending', 'approve', 'ekroots'])

/** Of one word, or of the whole: command lines, and what each does. */
export const examplesOf = (asked: TenantCommand | undefined): [line: string, does: string][] =>
  EXAMPLES.filter(({ word }) => (asked === undefined ? !IN_THEIR_OWN.has(word) : word === asked)).map(({ line, does }) => [
    `keylime tenant ${line}`,
    does,
  ])

/** What the help begins with: what the word that is asked about does, or all of them. */
export const usageText = (asked: TenantCommand | undefined): string =>
  asked === undefined
    ? `Enrols machines, delivers payloads to those that prove what they run, and shows the result.\n\nUsage: keylime tenant WORD [options]\n\n${wordLines()}`
    : `${TENANT_WORDS[asked]}.\n\nUsage: keylime tenant ${asked} [options]`

/** Texts of options that mean something of their own with a word. */
export function optionTexts(asked: TenantCommand | undefined): Record<'ids' | 'many' | 'all' | 'wait' | 'timeout', string> {
  const isVerdict = asked === 'attest' || asked === 'reactivate'
  const each = asked === 'explain' ? 'Every failure instead of the first 20' : 'Every machine'
  return {
    ids:
      asked === 'ekroots'
        ? 'list, add FILE… or check FILE'
        : asked === undefined || asked === 'rename'
          ? 'Ids of machines, as with -u; for rename, the old and the new id'
          : 'Ids of machines, as with -u',
    many: asked === undefined ? MANY_OF_ALL : 'Many machines (also several -u or -t):',
    all: asked === undefined ? 'Every machine; with explain: every failure instead of the first 20' : each,
    wait: isVerdict
      ? 'Wait for the verdict (default; --no-wait: do not wait)'
      : 'Wait for the verdict, and for a machine that fetches its payload (default; --no-wait: do not wait)',
    timeout: isVerdict
      ? 'Seconds to wait for it; default: 60'
      : 'Seconds to wait; default: 60, or 120 for a machine that brings its evidence',
  }
}

const MANY_OF_ALL = 'Many machines (add, update, attest, reactivate, delete, revoke, forget; also several -u or -t):'

function wordLines(): string {
  const width = Math.max(...COMMANDS.map((word) => word.length))
  return COMMANDS.map((word) => `  ${word.padEnd(width)}  ${TENANT_WORDS[word]}`).join('\n')
}
