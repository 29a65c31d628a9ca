import { createHash } from 'node:crypto'
import { parseEntry } from '../../core/ima/entry.ts'

/** A measurement list that all machines of a fleet have a part of: what the kernel would have measured, and PCR 10 after each line. */
export interface MeasuredFiles {
  /** Lines from `first` to before `end`, as the agent sends them. */
  lines(first: number, end: number): string
  /** PCR 10 after so many lines. */
  pcr10(count: number): Buffer
  readonly length: number
  /** A runtime policy that lets in all of it, and so many digests more. @param excludes expressions of which none fits. */
  policy(digests: number, excludes?: number): string
}

const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()

/** @param count lines. */
export function measuredFiles(count: number): MeasuredFiles {
  const names = Array.from({ length: count }, (_, i) => (i === 0 ? 'boot_aggregate' : `/usr/lib/lab/file-${i}`))
  const digests = names.map((name) => sha256(Buffer.from(name)).toString('hex'))
  const values: Buffer[] = [Buffer.alloc(32)]
  const lines = names.map((name, i) => {
    const fields = `ima-ng sha256:${digests[i]} ${name}`
    const data = Buffer.from(parseEntry(`10 00 ${fields}`).data)
    values.push(sha256(values[i]!, sha256(data)))
    return `10 ${createHash('sha1').update(data).digest('hex')} ${fields}\n`
  })
  return {
    length: count,
    lines: (first, end) => lines.slice(first, end).join(''),
    pcr10: (at) => values[at]!,
    policy: (more, excludes = 0) =>
      JSON.stringify({
        meta: { version: 1, generator: 3 },
        release: 0,
        digests: Object.fromEntries([
          ...names.map((name, i) => [name, [digests[i]]]),
          ...Array.from({ length: more }, (_, i) => [`/usr/share/lab/other-${i}`, [sha256(Buffer.from(`other ${i}`)).toString('hex')]]),
        ]),
        excludes: Array.from({ length: excludes }, (_, i) => `/srv/lab/no-such-directory-${i}/.*`),
        keyrings: {},
        ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: null },
        'ima-buf': {},
        'verification-keys': '',
      }),
  }
}
