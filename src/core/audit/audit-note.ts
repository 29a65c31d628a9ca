import { z } from 'zod'
import type { AuditedEvent } from './audit-line.ts'

/** What stands at the end of the file before the line that tells of it: bytes that are no line, as a crash or a full disk leaves them. They stay where they are. */
const incomplete = z.object({ lines: z.number(), bytes: z.number(), sha256: z.string() })

const auditNote = z.discriminatedUnion('type', [
  /** The first line of a chain. `chain` is random: no two chains have a line in common. */
  z.object({ type: z.literal('audit_begun'), chain: z.string() }),
  /** The first line of a further file of the same chain. `file`: name of the one before, as it was when this one was begun. */
  z.object({ type: z.literal('audit_continued'), chain: z.string(), file: z.string(), incomplete: incomplete.optional() }),
  z.object({ type: z.literal('audit_incomplete'), incomplete }),
  /** Events that could not be written, because the disk was full or failed and no more could wait. */
  z.object({ type: z.literal('audit_lost'), count: z.number(), from: z.string(), to: z.string() }),
])

/** What the audit log says of itself. */
export type AuditNote = z.infer<typeof auditNote>
export type Incomplete = z.infer<typeof incomplete>

/** Null for an event of the verifier. */
export function readNote(event: AuditedEvent): AuditNote | null {
  const parsed = event.type.startsWith('audit_') ? auditNote.safeParse(event) : null
  return parsed?.success ? parsed.data : null
}

export function noteText(note: AuditNote): string {
  switch (note.type) {
    case 'audit_begun':
      return `the audit log begins (chain ${note.chain})`
    case 'audit_continued':
      return `the audit log continues in a new file, after ${note.file}${note.incomplete ? `, which ends with ${incompleteText(note.incomplete)}` : ''}`
    case 'audit_incomplete':
      return `before this line there are ${incompleteText(note.incomplete)}`
    case 'audit_lost':
      return `${note.count} events between ${note.from} and ${note.to} could not be written and are lost`
  }
}

const incompleteText = ({ bytes }: Incomplete) => `${bytes} bytes that are not a whole line, left by a crash or a full disk`
