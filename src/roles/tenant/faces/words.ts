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

/** A line for each word, or for the one that is asked about. */
export function wordLines(asked: TenantCommand | undefined): string {
  const width = Math.max(...COMMANDS.map((word) => word.length))
  return COMMANDS.filter((word) => asked === undefined || word === asked)
    .map((word) => `  ${word.padEnd(width)}  ${TENANT_WORDS[word]}`)
    .join('\n')
}
