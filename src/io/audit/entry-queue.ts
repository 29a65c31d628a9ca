import { asciiJson } from '../../core/audit/audit-line.ts'
import type { AuditNote } from '../../core/audit/audit-note.ts'
import type { AuditEntry } from './chain-file.ts'

const MAX_WAITING_BYTES = 16 << 20
const MAX_BATCH_BYTES = 1 << 20

interface Lost {
  count: number
  from: number
  to: number
}

/** Events that wait for the disk, in their order. When no more may wait, a count of the lost ones stands in their place. */
export interface EntryQueue {
  add(entry: AuditEntry): void
  /** The oldest, as many as one write shall take; none when none wait. */
  take(): AuditEntry[]
  /** Entries, of which one may stand for many that are lost. */
  readonly size: number
  /** Events, with those that are lost. */
  readonly events: number
}

export function createEntryQueue(): EntryQueue {
  let waiting: (AuditEntry | Lost)[] = []
  let bytes = 0
  return {
    add(entry) {
      if (bytes + entry.json.length <= MAX_WAITING_BYTES) {
        bytes += entry.json.length
        waiting.push(entry)
        return
      }
      const last = waiting.at(-1)
      if (last && 'count' in last) {
        last.count++
        last.to = entry.at
      } else waiting.push({ count: 1, from: entry.at, to: entry.at })
    },
    take() {
      const batch: AuditEntry[] = []
      let taken = 0
      let at = 0
      for (; at < waiting.length && taken < MAX_BATCH_BYTES; at++) {
        const entry = waiting[at]!
        const json = 'count' in entry ? lostNote(entry) : entry.json
        if (!('count' in entry)) bytes -= json.length
        taken += json.length
        batch.push({ at: 'count' in entry ? entry.to : entry.at, json })
      }
      waiting = waiting.slice(at)
      return batch
    },
    get size() {
      return waiting.length
    },
    get events() {
      return waiting.reduce((sum, entry) => sum + ('count' in entry ? entry.count : 1), 0)
    },
  }
}

function lostNote({ count, from, to }: Lost): string {
  const note: AuditNote = { type: 'audit_lost', count, from: new Date(from).toISOString(), to: new Date(to).toISOString() }
  return asciiJson(note)
}
