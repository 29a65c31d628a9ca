import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { type ChainHead, lineHash, MAX_LINE_BYTES, readAuditLine } from '../../core/audit/audit-line.ts'
import { type Incomplete, readNote } from '../../core/audit/audit-note.ts'

/** Enough for the first line, which is a note, and nearly always for the last. */
const SHORT = 1 << 16

/** How a file of an audit log ends. */
export interface ChainTail {
  readonly chain: string
  readonly head: ChainHead
  /** ISO 8601, of the last line. */
  readonly time: string
  /** What stands behind the last line and is none. */
  readonly incomplete: Incomplete | null
  /** The file ends with a line feed. */
  readonly closed: boolean
}

/** Null for what is no audit log. Reads the first line and the end, not the whole. */
export async function readTail(handle: FileHandle, size: number): Promise<ChainTail | null> {
  const chain = chainOf(await bytesAt(handle, 0, Math.min(size, SHORT)))
  if (chain === null) return null
  return (await tailWithin(handle, size, { chain, window: SHORT })) ?? tailWithin(handle, size, { chain, window: 2 * MAX_LINE_BYTES })
}

async function tailWithin(
  handle: FileHandle,
  size: number,
  { chain, window }: { chain: string; window: number },
): Promise<ChainTail | null> {
  const start = Math.max(0, size - window)
  const end = await bytesAt(handle, start, size - start)
  const closed = end.at(-1) === 0x0a
  const lines = splitLines(closed ? end.subarray(0, -1) : end)
  for (let at = lines.length - 1; at >= 0; at--) {
    const line = readAuditLine(lines[at]!)
    if (line) {
      const left = lines.slice(at + 1)
      const head = { seq: line.seq, hash: lineHash(lines[at]!) }
      return { chain, head, time: line.time, incomplete: left.length > 0 ? incompleteOf(left) : null, closed }
    }
  }
  return null
}

function incompleteOf(lines: readonly Buffer[]): Incomplete {
  const bytes = Buffer.concat(lines.flatMap((line, i) => (i === 0 ? [line] : [Buffer.from('\n'), line])))
  return { lines: lines.length, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

function chainOf(beginning: Buffer): string | null {
  const [first] = splitLines(beginning)
  const line = first && readAuditLine(first)
  const note = line && readNote(line.event)
  return note && 'chain' in note ? note.chain : null
}

async function bytesAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let start = 0
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, start)) {
    lines.push(bytes.subarray(start, at))
    start = at + 1
  }
  return [...lines, bytes.subarray(start)]
}
