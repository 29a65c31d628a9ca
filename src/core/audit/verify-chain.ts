import { createHash, type Hash } from 'node:crypto'
import { type AuditLine, BEFORE_THE_FIRST, lineHash, readAuditLine } from './audit-line.ts'
import { type AuditNote, type Incomplete, readNote } from './audit-note.ts'
import type { BreakKind, ChainBreak, LinePlace } from './chain-break.ts'

const MAX_BREAKS = 20

export interface ChainReport {
  readonly intact: boolean
  readonly lines: number
  readonly chain: string | null
  readonly first: { readonly seq: number; readonly time: string } | null
  /** The last line, and its hash: who remembers it sees later whether the end was cut off. */
  readonly head: { readonly seq: number; readonly time: string; readonly hash: string } | null
  /** Hash of the line before the first, which stands in a file that was not shown; null when the chain begins here. */
  readonly follows: string | null
  /** The remembered head: lines that came after it; null when none was given, or it is not there. */
  readonly sinceRemembered: number | null
  /** Events that could not be written, as the log itself says. */
  readonly lost: number
  /** Places where a crash or a full disk left an incomplete line, which the log says itself. */
  readonly incomplete: number
  /** Lines that are older than the one before: the clock of the machine was set back. */
  readonly clockSetBack: number
  readonly breaks: readonly ChainBreak[]
  /** Breaks beyond those that are listed. */
  readonly furtherBreaks: number
}

/** Takes the lines of one or more files in their order, whatever their size. */
export interface ChainVerifier {
  /** @param line without its line feed. */
  line(at: LinePlace, line: Uint8Array): void
  /** What was found; when all lines were shown. */
  report(): ChainReport
}

interface Seen extends Omit<AuditLine, 'seq'> {
  /** As it must have been, where the line was changed. */
  seq: number
  readonly hash: string
  readonly at: LinePlace
}

/** Lines that are none, until the next line says whether it knows of them. */
interface Garbage {
  readonly at: LinePlace
  readonly hash: Hash
  lines: number
  bytes: number
}

/**
 * Finds each place where a chain does not hold, and goes on behind it. What it cannot find by itself is a change of the last line, or that lines were cut off at
 * the end: for that there is `remembered`, the hash of a line that was the last one once.
 */
export function createChainVerifier(remembered: string | null = null): ChainVerifier {
  const breaks: ChainBreak[] = []
  let furtherBreaks = 0
  let first: Seen | null = null
  let last: Seen | null = null
  let garbage: Garbage | null = null
  /** Two neighbours of which one was changed: the line after them says which. */
  let undecided: Seen | null = null
  const told = new WeakSet<Seen>()
  let chain: string | null = null
  let sinceRemembered: number | null = null
  const sums = { lines: 0, lost: 0, incomplete: 0, clockSetBack: 0 }

  function broken(kind: BreakKind, { at, seq }: { at: LinePlace; seq: number | null }, text: string): void {
    if (breaks.length >= MAX_BREAKS) furtherBreaks++
    else breaks.push({ kind, ...at, seq, text })
  }

  function changed(line: Seen): void {
    told.add(line)
    broken('line_changed', line, 'this line was changed after it was written: what it says is not what happened')
  }

  function takeGarbage(at: LinePlace, line: Uint8Array): void {
    garbage ??= { at, hash: createHash('sha256'), lines: 0, bytes: 0 }
    if (garbage.lines > 0) {
      garbage.hash.update('\n')
      garbage.bytes++
    }
    garbage.hash.update(line)
    garbage.lines++
    garbage.bytes += line.length
  }

  /** Bytes that are no line are fine where the next line tells of exactly these; and where it tells of some they must be there. */
  function settleGarbage(line: Seen, note: AuditNote | null): void {
    const noted = incompleteOf(note)
    const left = garbage
    garbage = null
    if (left && noted && isSame(left, noted)) sums.incomplete++
    else if (left)
      broken('not_a_line', { at: left.at, seq: null }, 'this is not a line of an audit log, and the next line does not know about it')
    else if (noted)
      broken('lines_removed', line, `before this line there were ${noted.bytes} bytes of an incomplete line; they were removed`)
  }

  function link(line: Seen, note: AuditNote | null): void {
    if (!last) begin(line, note)
    else if (note?.type === 'audit_begun') {
      settleUndecided()
      broken('another_chain', line, `another chain begins here: someone started a new log after line ${last.seq} of the one before`)
    } else compare(last, line)
  }

  function compare(before: Seen, line: Seen): void {
    const follows = line.previous === before.hash
    const isNext = line.seq === before.seq + 1
    const wasUndecided = undecided
    if (wasUndecided) changed(follows ? wasUndecided : before)
    undecided = null
    if (follows && isNext) return
    if (follows) {
      changed(line) // nothing is missing in between, so its number is not the one that it was written with
      line.seq = before.seq + 1
    } else if (isNext && !wasUndecided && !told.has(before)) undecided = before
    else if (line.seq > before.seq + 1)
      broken('lines_removed', line, `${missingText(before.seq + 1, line.seq - 1)}: removed, or in a file that was not shown`)
    else if (line.seq <= before.seq) {
      const text = `number ${line.seq} comes after ${before.seq}: a line was moved, repeated or inserted, or files are in the wrong order`
      broken('out_of_order', line, text)
    }
  }

  function begin(line: Seen, note: AuditNote | null): void {
    const begins = note?.type === 'audit_begun' && line.seq === 1 && line.previous === BEFORE_THE_FIRST.hash
    if (!begins && note?.type !== 'audit_continued')
      broken(
        'beginning_removed',
        line,
        `the log begins with number ${line.seq}: what was before it was removed, or is in a file that was not shown`,
      )
  }

  function settleUndecided(): void {
    if (undecided) broken('line_changed', undecided, 'this line, or the next one, was changed after it was written')
    undecided = null
  }

  function end(): void {
    settleUndecided()
    if (garbage) {
      const text = 'the end is not a line of an audit log: it was cut, written by another program, or left by a crash or full disk'
      broken('cut', { at: garbage.at, seq: null }, text)
      garbage = null
    } else if (sums.lines === 0)
      broken('cut', { at: last?.at ?? NOWHERE, seq: null }, 'there is no line: the log was emptied, or never begun')
    if (remembered !== null && sinceRemembered === null) {
      const at = last?.at ?? NOWHERE
      const text = 'no line has the remembered hash: the end was cut off or rewritten, or it belongs to another log'
      broken('head_missing', { at, seq: last?.seq ?? null }, text)
    }
  }

  return {
    line(at, bytes) {
      const parsed = readAuditLine(bytes)
      if (!parsed) return takeGarbage(at, bytes)
      const line: Seen = { ...parsed, hash: lineHash(bytes), at }
      const note = readNote(line.event)
      settleGarbage(line, note)
      link(line, note)
      if (note && 'chain' in note) chain ??= note.chain
      if (note?.type === 'audit_lost') sums.lost += note.count
      if (last && Date.parse(line.time) < Date.parse(last.time)) sums.clockSetBack++
      if (sinceRemembered !== null) sinceRemembered++
      if (line.hash === remembered) sinceRemembered = 0
      sums.lines++
      first ??= line
      last = line
    },
    report() {
      end()
      const follows = first && first.previous !== BEFORE_THE_FIRST.hash ? first.previous : null
      return {
        intact: breaks.length === 0,
        ...sums,
        chain,
        first: first && { seq: first.seq, time: first.time },
        head: last && { seq: last.seq, time: last.time, hash: last.hash },
        follows,
        sinceRemembered,
        breaks,
        furtherBreaks,
      }
    },
  }
}

const missingText = (from: number, to: number) => (from === to ? `line ${from} is missing` : `lines ${from} to ${to} are missing`)

const NOWHERE: LinePlace = { file: '', line: 0 }

const incompleteOf = (note: AuditNote | null): Incomplete | undefined => (note && 'incomplete' in note ? note.incomplete : undefined)

const isSame = (left: Garbage, told: Incomplete): boolean =>
  left.lines === told.lines && left.bytes === told.bytes && left.hash.copy().digest('hex') === told.sha256
