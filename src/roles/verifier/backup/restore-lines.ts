import type { SinceBackup } from '../../../core/audit/since-backup.ts'
import type { BackupHead } from '../../../io/db/backup-file.ts'
import type { RestoreReport } from '../../../io/db/restore-verifier.ts'

/** Ids on one line; the others are in `--json`. */
const SHOWN = 20

export const whatOf = ({ takenAt, verifier, schema }: BackupHead): string =>
  `the backup of ${new Date(takenAt).toISOString()} of verifier ${verifier} (schema ${schema})`

export const rowsIn = ({ tables }: BackupHead, name: string): number => tables.find(({ table }) => table === name)?.rows ?? 0

/** Of the tables that an operator knows. */
export const countsOf = (head: BackupHead): string => `${machines(rowsIn(head, 'agents'))}, ${rowsIn(head, 'policies')} policies`

export const machines = (count: number): string => `${count} ${count === 1 ? 'machine' : 'machines'}`

/** What an operator has to do after a restore: one line for each kind. @param since null where there is no audit log. */
export function toDo({ withheld, lost }: Pick<RestoreReport, 'withheld' | 'lost'>, since: SinceBackup | null): string[] {
  const added = [...new Set([...lost, ...(since?.added ?? [])])].toSorted()
  const lines = [
    listed('payload withheld', withheld, 'deliver again: keylime tenant update -u ID with its files'),
    listed('not in the backup', added, 'add again: keylime tenant add'),
    listed('deleted or revoked since, and back', since?.removed ?? [], 'keylime tenant delete -u ID'),
    listed('updated since, and as before', since?.updated ?? [], 'update again: keylime tenant update -u ID'),
    listed('failed since, and attested again', since?.failed ?? [], 'see why: keylime verifier audit show --agent ID'),
    listed('stopped since, and attested again', since?.stopped ?? [], 'finish what you stopped them for, or keylime tenant delete -u ID'),
    listed('reactivated since, and as before', since?.reactivated ?? [], 'reactivate again: keylime tenant reactivate -u ID'),
    listed('policies changed since, and as before', since?.policies ?? [], 'store or delete them again'),
    since === null ? 'there is no audit log here: what else was done since the backup is not known' : null,
  ]
  return lines.filter((line) => line !== null)
}

function listed(what: string, ids: readonly string[], advice: string): string | null {
  if (ids.length === 0) return null
  const more = ids.length > SHOWN ? ` and ${ids.length - SHOWN} more` : ''
  return `${what} (${ids.length}): ${ids.slice(0, SHOWN).join(', ')}${more}; ${advice}`
}
