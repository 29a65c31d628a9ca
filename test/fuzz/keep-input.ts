import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'

/** Where the fuzzer's own findings go, too. */
export const FINDINGS_VARIABLE = 'KEYLIME_FUZZ_FINDINGS'

/** Keeps an input that the fuzzer does not know, and so would not write. */
export function keepInput(input: Buffer): void {
  const directory = process.env[FINDINGS_VARIABLE]
  if (directory) writeFileSync(path.join(directory, `crash-pumped-${createHash('sha1').update(input).digest('hex')}`), input)
}
