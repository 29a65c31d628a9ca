import { createHash } from 'node:crypto'

/** One line of the audit log as it is stored. */
export interface AuditLine {
  /** 1 for the first line of a chain. */
  readonly seq: number
  /** ISO 8601, UTC. */
  readonly time: string
  /** SHA-256 of the whole line before, in hex; of nothing (`BEFORE_THE_FIRST`) for the first of a chain. */
  readonly previous: string
  readonly event: AuditedEvent
}

export interface AuditedEvent {
  readonly type: string
  readonly [field: string]: unknown
}

/** The end of a chain: what the next line builds upon. */
export interface ChainHead {
  readonly seq: number
  readonly hash: string
}

export const BEFORE_THE_FIRST: ChainHead = { seq: 0, hash: '0'.repeat(64) }

/** Longer lines are none of ours: events are bounded, far below. */
export const MAX_LINE_BYTES = 1 << 20

/** @param line without its line feed. */
export const lineHash = (line: string | Uint8Array): string => createHash('sha256').update(line).digest('hex')

/** The next line, without its line feed, and the head that it makes. @param event JSON text. @param at milliseconds since the epoch. */
export function nextLine(head: ChainHead, at: number, event: string): { line: string; head: ChainHead } {
  const seq = head.seq + 1
  const line = `{"seq":${seq},"time":"${new Date(at).toISOString()}","previous":"${head.hash}","event":${event}}`
  return { line, head: { seq, hash: lineHash(line) } }
}

/** JSON in plain ASCII: no text of an event can leave its line, or do anything to the terminal of whoever looks into the file. */
export const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** Null for what is not a line of an audit log. */
export function readAuditLine(line: string | Uint8Array): AuditLine | null {
  if (line.length > MAX_LINE_BYTES) return null
  try {
    const value = JSON.parse(typeof line === 'string' ? line : Buffer.from(line).toString('utf8')) as Partial<AuditLine> | null
    return isAuditLine(value) ? value : null
  } catch {
    return null
  }
}

function isAuditLine(value: Partial<AuditLine> | null): value is AuditLine {
  if (typeof value !== 'object' || value === null) return false
  const { seq, time, previous, event } = value
  const hasChain = Number.isSafeInteger(seq) && seq! > 0 && typeof previous === 'string' && /^[0-9a-f]{64}$/.test(previous)
  const hasTime = typeof time === 'string' && time.length < 40 && !Number.isNaN(Date.parse(time))
  return hasChain && hasTime && typeof event === 'object' && event !== null && typeof event.type === 'string'
}
