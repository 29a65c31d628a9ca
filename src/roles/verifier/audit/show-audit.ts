import { type AuditLine, asciiJson, readAuditLine } from '../../../core/audit/audit-line.ts'
import { noteText, readNote } from '../../../core/audit/audit-note.ts'
import { boundedText } from '../../../core/events/bounded-text.ts'
import { eventText } from '../../../core/events/event-text.ts'
import { readEvent } from '../../../core/events/verifier-event.ts'
import { printable } from '../../../core/printable.ts'
import { sinceTime } from '../../../core/text/since-time.ts'
import { readLines } from '../../../io/audit/read-lines.ts'
import { systemClock } from '../../../io/clock.ts'
import { noteLine, printDocument } from '../../../io/terminal/print.ts'
import { auditFiles } from './configured-files.ts'

export interface ShowArguments {
  files?: string[] | undefined
  agent?: string | undefined
  since?: string | undefined
  config?: string | undefined
  json?: boolean | undefined
}

/** `keylime verifier audit show`. */
export async function showAudit(argv: ShowArguments): Promise<number> {
  const since = argv.since === undefined ? null : sinceTime(argv.since, systemClock.now())
  const files = await auditFiles(argv.files, argv.config)
  let shown = 0
  for (const file of files) {
    let number = 0
    for await (const bytes of readLines(file)) {
      number++
      const line = readAuditLine(bytes)
      if (!line) noteLine(`warning: ${file}, line ${number} is not a line of an audit log`)
      if (!line || (since !== null && Date.parse(line.time) < since) || !isAbout(line, argv.agent)) continue
      shown++
      await printDocument(`${printable(argv.json ? asciiJson(line) : `${line.time.replace(/\.\d+Z$/, 'Z')}  ${lineText(line)}`)}\n`) // waits for a slow reader: a log may be larger than memory
    }
  }
  if (shown === 0 && !argv.json) noteLine('no event matches; without --agent and --since all are shown')
  return 0
}

function isAbout({ event }: AuditLine, agent: string | undefined): boolean {
  if (agent === undefined) return true
  const { agent_id: id, target } = event
  return (typeof id === 'string' && id.startsWith(agent)) || (typeof target === 'string' && target.startsWith(`agent:${agent}`))
}

/** What a later version wrote is shown as it is. */
function lineText({ event }: AuditLine): string {
  const note = readNote(event)
  if (note) return noteText(note)
  const known = readEvent(event)
  return known ? eventText(known) : boundedText(asciiJson(event))
}
