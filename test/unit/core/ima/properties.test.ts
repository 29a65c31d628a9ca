import fc from 'fast-check'
import { isKeylimeError } from '../../../../src/core/errors.ts'
import { compileExcludes } from '../../../../src/core/ima/excludes.ts'
import { FRESH_IMA, type ImaProgress } from '../../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { plainPolicy } from '../../../../src/core/ima/signed-policy.ts'
import { nativePcrReplay } from '../../../../src/io/native/pcr-replay.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, pcr10After, quotedPcr10, runtimePolicy } from '../../../ima.ts'

const KEY_DIGEST = 'a7d52aaa18c23d2d9bb2abb4308c0eeee67387a42259f4a6b1a42257065f3d5a'
const [GOOD, BAD] = ['11'.repeat(32), '22'.repeat(32)]
/** Lines of every kind, good ones and two that fail. */
const KINDS = [
  imaLine(`ima-ng sha256:${GOOD} /bin/a`),
  imaLine(`ima-sig sha256:${GOOD} /bin/a `),
  imaLine(`ima-ngv2 ima:sha256:${GOOD} /bin/a`),
  imaLine(`ima-ng sha256:${BAD} /var/log/x y`),
  `10 ${'0'.repeat(40)} ima-ng sha256:${'0'.repeat(64)} /bin/violated`,
  imaVector('keyring.txt').toString().trim(),
  imaLine(`ima-ng sha256:${BAD} /bin/a`),
  imaLine(`ima-ng sha256:${GOOD} /bin/unknown`),
]
const accepting = parseRuntimePolicy(
  runtimePolicy({
    digests: { boot_aggregate: ['b0'.repeat(32)], '/bin/a': [GOOD] },
    excludes: ['/var/log/'],
    keyrings: { '.ima': [KEY_DIGEST] },
  }),
)
const policy = imaPolicy(accepting, false)
const native = imaPolicy(accepting, false, nativePcrReplay)
const judge = (lines: readonly string[], quoted: Buffer, progress: ImaProgress, hash: 'sha1' | 'sha256') =>
  policy.judge({ pcrs: quotedPcr10(quoted, hash), list: lines.map((line) => `${line}\n`).join(''), progress, bootAggregates: [] })

const logs = (kinds: number) =>
  fc.array(fc.integer({ min: 0, max: kinds - 1 }), { maxLength: 40 }).map((at) => [BOOT_AGGREGATE, ...at.map((i) => KINDS[i]!)])
const banks = fc.constantFrom('sha1' as const, 'sha256' as const)

test('in any split of increments, with the log ahead of the quote or not, the verdict and the state are those of one piece', () => {
  fc.assert(
    fc.property(
      logs(6),
      banks,
      fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 3 }))),
      (lines, hash, steps) => {
        let progress: ImaProgress = FRESH_IMA
        for (const [size, ahead] of [...steps, [lines.length, 0] as const]) {
          const end = Math.min(progress.nextEntry + size, lines.length)
          const shown = lines.slice(progress.nextEntry, Math.min(end + ahead, lines.length))
          const verdict = judge(shown, pcr10After(lines.slice(0, end), hash), { ...progress, lastMatch: null }, hash)
          expect(verdict.failures).toEqual([])
          progress = verdict.progress
        }
        const whole = judge(lines, pcr10After(lines, hash), FRESH_IMA, hash)
        expect({ ...progress, lastMatch: null }).toEqual({ ...whole.progress, lastMatch: null })
      },
    ),
    { numRuns: 100 },
  )
})

test('a bad line fails wherever it stands, in one piece and in increments', () => {
  fc.assert(
    fc.property(logs(6), fc.integer({ min: 6, max: 7 }), fc.nat(), fc.nat(), (good, bad, where, cut) => {
      const lines = good.toSpliced(1 + (where % good.length), 0, KINDS[bad]!)
      expect(judge(lines, pcr10After(lines), FRESH_IMA, 'sha256').failures).toHaveLength(1)
      const at = 1 + (cut % (lines.length - 1))
      const first = judge(lines.slice(0, at), pcr10After(lines.slice(0, at)), FRESH_IMA, 'sha256')
      const second = first.failures.length > 0 ? first : judge(lines.slice(at), pcr10After(lines), first.progress, 'sha256')
      expect(second.failures).toHaveLength(1)
    }),
    { numRuns: 100 },
  )
})

test('a log that was changed anywhere in its bytes never passes', () => {
  const lines = [BOOT_AGGREGATE, ...KINDS.slice(0, 4)]
  const text = lines.join('\n')
  const quoted = pcr10After(lines)
  fc.assert(
    fc.property(fc.nat({ max: text.length - 1 }), fc.integer({ min: 33, max: 126 }), (at, code) => {
      const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1)
      // hexadecimal digits of either case mean the same
      if (changed.toLowerCase() === text.toLowerCase()) return
      expect(judge(changed.split('\n'), quoted, FRESH_IMA, 'sha256').failures.length).toBeGreaterThan(0)
    }),
    { numRuns: 500 },
  )
})

const onlyKnownErrors = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    if (!isKeylimeError(error)) throw error
  }
}
test('any JSON is a policy, or refused in words', () => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 4 }),
      fc.constantFrom('meta', 'digests', 'excludes', 'ima', 'ima-buf', 'keyrings', 'verification-keys', 'payload'),
      (json, key) => {
        onlyKnownErrors(() => parseRuntimePolicy(plainPolicy(json, { key: null, required: false })))
        onlyKnownErrors(() => parseRuntimePolicy(plainPolicy(runtimePolicy({ [key]: JSON.parse(json) }), { key: null, required: false })))
      },
    ),
    { numRuns: 300 },
  )
})
test('any text is an exclude, or refused in words', () => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^[()[\]{}*+?|\\^$.,\d:a-zA-Z<>=!-]{0,20}$/))
  fc.assert(
    fc.property(texts, (text) => onlyKnownErrors(() => compileExcludes([text], 'excludes')('/some/path'))),
    { numRuns: 2000 },
  )
})
test('of a member that is there twice the last counts, as upstream', () => {
  const text = runtimePolicy().replace(/^\{/, '{"digests":{"/early":["not even a digest"]},')
  expect([...parseRuntimePolicy(text).digests].map(([name]) => name)).toEqual(['boot_aggregate'])
})
test('a million entries are taken', () => {
  const digests = Object.fromEntries(Array.from({ length: 1_000_000 }, (_, i) => [`/f${i}`, [GOOD]]))
  expect(parseRuntimePolicy(runtimePolicy({ digests })).digests.size).toBe(1_000_000)
})

test('the replay of the native addon gives the verdict, the failures and the state of the one written in TypeScript', () => {
  const spoilt = (line: string, how: number) =>
    [
      line,
      line.toUpperCase().replace(/ IMA-\w+ .*/, (rest) => rest.toLowerCase()),
      line.replace(/^10 ../, '10 zz'),
      line.replace(/^10 ../, '10 ee'),
      `${line} `,
    ][how]!
  fc.assert(
    fc.property(
      logs(KINDS.length),
      fc.constantFrom('sha1', 'sha256', 'sha384', 'sha512'),
      fc.nat(4),
      fc.nat(40),
      fc.nat(40),
      (lines, hash, how, at, end) => {
        const shown = lines.map((line, i) => (i === at ? spoilt(line, how) : line))
        const pcrs = quotedPcr10(pcr10After(lines.slice(0, end), hash), hash)
        const evidence = { pcrs, list: shown.join('\n').padEnd(10_000, '\n'), progress: FRESH_IMA, bootAggregates: [] }
        expect(native.judge(evidence)).toEqual(policy.judge(evidence))
      },
    ),
    { numRuns: 300 },
  )
})
