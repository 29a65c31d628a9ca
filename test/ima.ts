import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { isViolation, parseEntry } from '../src/core/ima/entry.ts'
import type { VerifiedPcrs } from '../src/core/quote/verify-quote.ts'
import { digestSize, type HashName } from '../src/core/tpm/algorithms.ts'

export const imaVector = (file: string): Buffer => fs.readFileSync(path.resolve(import.meta.dirname, 'vectors/ima', file))

/** A line with the template hash that its fields have. */
export function imaLine(fields: string): string {
  const line = (hash: string) => `10 ${hash} ${fields}`
  return line(
    createHash('sha1')
      .update(parseEntry(line('00')).data)
      .digest('hex'),
  )
}

export const BOOT_AGGREGATE = imaLine(`ima-ng sha256:${'b0'.repeat(32)} boot_aggregate`)

/** PCR 10 after these lines, as a TPM has it: computed here in the plainest way. */
export function pcr10After(lines: readonly string[], hash: HashName = 'sha256'): Buffer {
  const H = (...parts: Buffer[]) => createHash(hash).update(Buffer.concat(parts)).digest()
  return lines.reduce(
    (value, line) => {
      const { column, data } = parseEntry(line)
      return H(value, isViolation(column, 'sha1') ? Buffer.alloc(digestSize(hash), 0xff) : H(data))
    },
    Buffer.alloc(digestSize(hash)),
  )
}

/** Values that count as quoted: only tests may make them so. */
export const quotedPcr10 = (value: Buffer, hash: HashName = 'sha256'): VerifiedPcrs =>
  ({ hash, values: new Map([[10, value]]) }) as unknown as VerifiedPcrs

/** JSON text of a runtime policy. */
export const runtimePolicy = (changes: Record<string, unknown> = {}): string =>
  JSON.stringify({
    meta: { version: 1, generator: 3 },
    release: 0,
    digests: { boot_aggregate: ['b0'.repeat(32)] },
    excludes: [],
    keyrings: {},
    ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: null },
    'ima-buf': {},
    'verification-keys': '',
    ...changes,
  })
