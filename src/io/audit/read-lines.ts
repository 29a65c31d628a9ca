import fs from 'node:fs'
import { MAX_LINE_BYTES } from '../../core/audit/audit-line.ts'
import { KeylimeError } from '../../core/errors.ts'

const LINE_FEED = 0x0a
export const STANDARD_INPUT = '/dev/stdin'

/** The lines of a file without their line feeds, the last one also when it has none; `/dev/stdin` is standard input, whatever that is. Of a line beyond the bound only its beginning is kept. */
export async function* readLines(file: string): AsyncGenerator<Buffer> {
  const stream: AsyncIterable<Buffer> = file === STANDARD_INPUT ? process.stdin : fs.createReadStream(file, { highWaterMark: 1 << 18 })
  let parts: Buffer[] = []
  let length = 0
  const keep = (part: Buffer) => {
    if (length <= MAX_LINE_BYTES) parts.push(Buffer.from(part.subarray(0, MAX_LINE_BYTES + 1 - length)))
    length += part.length
  }
  try {
    for await (const chunk of stream) {
      let start = 0
      for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, start)) {
        keep(chunk.subarray(start, at))
        yield Buffer.concat(parts)
        parts = []
        length = 0
        start = at + 1
      }
      if (start < chunk.length) keep(chunk.subarray(start))
    }
    if (length > 0) yield Buffer.concat(parts)
  } catch (cause) {
    const missing = ['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')
    throw new KeylimeError(missing ? 'not_found' : 'file_failed', `cannot read ${file}: ${(cause as Error).message}`, {
      cause,
      hint: missing
        ? 'the verifier makes it at its first start, where audit_log in verifier.conf says, below its KEYLIME_DIR; or name the file'
        : 'the audit log is readable by the user of the verifier and by root',
    })
  }
}
