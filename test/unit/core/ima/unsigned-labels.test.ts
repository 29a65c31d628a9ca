import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { type ImaEntry, parseEntry, readEntry } from '../../../../src/core/ima/entry.ts'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, pcr10After, quotedPcr10, runtimePolicy } from '../../../ima.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { runs } from '../../../thorough.ts'

/** What a log shows beside the data that are hashed can be chosen by whoever owns the machine: none of it may make a machine better. */
const TEMPLATES = ['ima', 'ima-ng', 'ima-ngv2', 'ima-sig', 'ima-sigv2', 'ima-buf', 'ima-modsig'] as const
const hex = (bytes: Buffer | string) => Buffer.from(bytes as string).toString('hex')
const digestOf = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

const key = rsaKeyPair().publicKey
const DER = key.export({ format: 'der', type: 'spki' })
/** OpenSSL finds a key that begins a line, whatever stands before. */
const LINE_OF_PEM = Buffer.concat([Buffer.from('\n'), Buffer.from(key.export({ format: 'pem', type: 'spki' }) as string)])
const PEM = Buffer.from(key.export({ format: 'pem', type: 'spki' }) as string)
/** `security.ima` as an attacker sets it: the head of a signature, whose size fits, and behind it what he likes. */
const signatureWith = (content: Buffer, type = 3) => {
  const head = Buffer.from([type, 2, 4, 1, 2, 3, 4, 0, 0])
  head.writeUInt16BE(content.length, 7)
  return hex(Buffer.concat([head, content]))
}
const EVIL = digestOf('evil')
const SHA1 = 'ab'.repeat(20)

/** As kernels measure them: files at a path, files of a mount that was detached (which have a name alone), keys, buffers. */
const KERNEL_LINES: string[] = [
  ...['/usr/bin/evil', '/tmp/evil', 'evil', '.ima', '/tmp/ring', 'dm_table_load', 'kexec-cmdline'].flatMap((name) => [
    `ima-ng sha256:${EVIL} ${name}`,
    `ima-ngv2 ima:sha256:${EVIL} ${name}`,
    `ima-ngv2 verity:sha256:${EVIL} ${name}`,
    `ima-sig sha256:${EVIL} ${name} `,
    ...[3, 5, 6].flatMap((type) => [DER, LINE_OF_PEM].map((content) => `ima-sig sha256:${EVIL} ${name} ${signatureWith(content, type)}`)),
    `ima-sigv2 ima:sha256:${EVIL} ${name} ${signatureWith(LINE_OF_PEM)}`,
    `ima-modsig sha256:${EVIL} ${name}  sha256:${EVIL} ${hex(DER)}`,
    `ima ${SHA1} ${name}`,
  ]),
  ...['.ima', '_ima', '/tmp/ring'].flatMap((ring) => [DER, PEM].map((bytes) => `ima-buf sha256:${digestOf(bytes)} ${ring} ${hex(bytes)}`)),
  `ima-buf sha256:${digestOf('quiet')} kexec-cmdline ${hex('quiet')}`,
  ...imaVector('signatures.txt')
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.split(' ').slice(2).join(' ')),
].map(imaLine)

const POLICIES: Record<string, Record<string, unknown>> = {
  'accepts nothing': {},
  'excludes /tmp': { excludes: ['/tmp/.*'] },
  'ignores all keyrings': { ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha1', dm_policy: null } },
  'ignores one keyring': { ima: { ignored_keyrings: ['.ima', 'evil'], log_hash_alg: 'sha1', dm_policy: null } },
  'lists a key': { keyrings: { '.ima': [digestOf(DER)], evil: [digestOf(DER), EVIL] } },
  'lists a buffer': { 'ima-buf': { 'kexec-cmdline': [digestOf('quiet')], evil: [digestOf('quiet')] } },
}
const verdictOf = (line: string, policy: Record<string, unknown>, failOnViolations = false) => {
  const lines = [BOOT_AGGREGATE, line]
  const list = lines.map((text) => `${text}\n`).join('')
  const evidence = { pcrs: quotedPcr10(pcr10After(lines)), list, progress: FRESH_IMA, bootAggregates: [] }
  const { failures, progress } = imaPolicy(parseRuntimePolicy(runtimePolicy(policy)), failOnViolations).judge(evidence)
  return { passes: failures.length === 0, learned: progress.learned }
}

/** The line under the name of another template, where its data, and so its hash, stay the same. */
function relabelled(line: string): string[] {
  const { data } = parseEntry(line)
  const copy = Buffer.from(data)
  const [pcr, column, , ...fields] = line.split(' ')
  return TEMPLATES.flatMap((template) =>
    [[...fields], [...fields, ''], fields.slice(0, -1)].map((f) => [pcr, column, template, ...f].join(' ')),
  ).filter((other) => {
    const entry = readEntry(other)
    return other !== line && typeof entry !== 'string' && entry.data.equals(copy)
  })
}

test('a file’s signature and a buffer are the same bytes: their lines can be shown as each other', () => {
  expect(KERNEL_LINES.filter((line) => relabelled(line).length > 0).length).toBeGreaterThan(40)
})

test.each(Object.entries(POLICIES))(
  'under a policy that %s, no line passes or teaches a key by being shown as another template',
  (_name, policy) => {
    for (const line of KERNEL_LINES) {
      const honest = verdictOf(line, policy)
      for (const other of relabelled(line)) {
        const shown = verdictOf(other, policy)
        expect([other, shown.passes && !honest.passes]).toEqual([other, false])
        expect([other, shown.learned === '' || shown.learned === honest.learned]).toEqual([other, true])
      }
    }
  },
)

test('the first column makes no line better, and the second is what the rest hashes to', () => {
  for (const line of KERNEL_LINES)
    for (const policy of Object.values(POLICIES)) {
      expect(verdictOf(line.replace(/^10 /, '11 '), policy).passes).toBe(false)
      expect(
        verdictOf(
          line.replace(/^10 ./, (start) => `10 ${start.at(-1) === 'a' ? 'b' : 'a'}`),
          policy,
        ).passes,
      ).toBe(false)
    }
})

/** What is decided by. */
const meaning = ({ digestType, algorithm, digest, name, extra }: ImaEntry) => [
  digestType,
  algorithm,
  digest.toLowerCase(),
  name,
  hex(extra),
]
const ODD = ['\0', '\ud800', 'Ā', 'ų', 'ĳ', 'A', 'f', '0', ':', ' ', '/', '\ufffd', 'ſ', 'K']

test('any change of a field that leaves the hash as it was leaves its meaning as it was', () => {
  fc.assert(
    fc.property(fc.constantFrom(...KERNEL_LINES), fc.nat(), fc.constantFrom(...ODD), fc.boolean(), (line, seed, odd, insert) => {
      const start = line.indexOf(' ', 3) + 1
      const at = start + (seed % (line.length - start))
      const changed = line.slice(0, at) + odd + line.slice(insert ? at : at + 1)
      const before = parseEntry(line)
      const [data, meant] = [Buffer.from(before.data), meaning(before)]
      const entry = readEntry(changed)
      if (typeof entry === 'string' || !entry.data.equals(data)) return
      if (entry.template === before.template) expect(meaning(entry)).toEqual(meant)
    }),
    { numRuns: runs(20_000, 4000) },
  )
})

test.each([
  ['a name with a zero byte', `ima-ng sha256:${EVIL} /bin/a\0b`],
  ['the data of another template as the name of the oldest', `ima ${SHA1} \x01\x02\0\0\0/tmp/x`],
  ['half a surrogate pair', `ima-ng sha256:${EVIL} /bin/\ud800`],
  ['an algorithm whose letters lose their upper byte', `ima-ng \u0173ha256:${EVIL} /bin/a`],
  ['an algorithm in capitals', `ima-ng SHA256:${EVIL} /bin/a`],
])('a line with %s is not read', (_what, fields) => {
  expect(readEntry(`10 00 ${fields}`)).toEqual(expect.stringMatching(/^the (name|digest) is /))
})
