import type { HashName } from '../../tpm/algorithms.ts'
import type { Finding } from '../boot-finding.ts'
import type { DigestByBank, ReferenceState } from '../reference-state.ts'
import type { SeenEvent } from '../see-events.ts'

export type Part = 'scrtm' | 'volumes' | 'applications' | 'kernelFiles' | 'initrds' | 'commandLines' | 'loadCommands'

/** One evaluation: what the log is judged by, and what was seen so far. */
export interface Run {
  state: ReferenceState
  bank: HashName
  /** How often a rule was met, by its name. */
  counts: Map<string, number>
  /** Events that are judged together at the end. */
  parts: Record<Part, SeenEvent[]>
}

export type Rule = (seen: SeenEvent, run: Run) => Finding | null

/** Counts an event under a name. @returns a finding from the `limit + 1`st on. */
export function limited(seen: SeenEvent, run: Run, name: string, limit = 1): Finding | null {
  const count = (run.counts.get(name) ?? 0) + 1
  run.counts.set(name, count)
  if (count <= limit) return null
  return { seen, reason: limit === 1 ? 'is in the log more than once' : `is one of ${count}, at most ${limit} are accepted` }
}

export const inBank = (digests: readonly DigestByBank[], bank: HashName): string[] =>
  digests.flatMap((digest) => (digest.has(bank) ? [digest.get(bank)!] : []))

export const textOf = ({ content }: SeenEvent): string => (content.kind === 'text' ? content.text : '')

/** For data whose inner form is needed and is not there. */
export function unreadable(seen: SeenEvent): Finding {
  const { content } = seen
  const defect =
    content.kind === 'variable' && content.value.kind === 'unreadable' ? content.value.defect : content.kind === 'raw' && content.defect
  return { seen, reason: `cannot be read: ${defect || 'it does not have the form of its type'}` }
}
