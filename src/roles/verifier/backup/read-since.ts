import { readAuditLine } from '../../../core/audit/audit-line.ts'
import { createSinceBackup, type SinceBackup } from '../../../core/audit/since-backup.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { readEvent } from '../../../core/events/verifier-event.ts'
import { readLines } from '../../../io/audit/read-lines.ts'
import { auditFiles } from '../audit/configured-files.ts'

/** What this verifier's audit log has since a backup; null where there is no log. @param config configuration file that names the log. */
export async function readSince(
  { takenAt, has }: { takenAt: number; has: (agentId: string) => boolean },
  config: string | undefined,
): Promise<SinceBackup | null> {
  const since = createSinceBackup(has)
  try {
    for (const file of await auditFiles(undefined, config))
      for await (const bytes of readLines(file)) {
        const line = readAuditLine(bytes)
        const event = line && Date.parse(line.time) >= takenAt ? readEvent(line.event) : null
        if (event) since.event(event)
      }
  } catch (error) {
    if (isKeylimeError(error) && ['not_found', 'usage', 'file_failed'].includes(error.code)) return null
    throw error
  }
  return since.result()
}
