import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { type ImaEntry, parseEntry } from '../../../../src/core/ima/entry.ts'
import { FRESH_IMA, type ImaProgress } from '../../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import type { VerifiedPcrs } from '../../../../src/core/quote/verify-quote.ts'
import type { HashName } from '../../../../src/core/tpm/algorithms.ts'
import { machineFile, machinePcrs } from '../../../machines.ts'
import { runs } from '../../../thorough.ts'

const text = (machine: string) => machineFile(machine, 'ima.txt').toString('utf8')
const pcrsOf = (value: Buffer, hash: HashName = 'sha256') => ({ hash, values: new Map([[10, value]]) }) as unknown as VerifiedPcrs
const quoted = (machine: string, hash: HashName = 'sha256') => pcrsOf(machinePcrs(machine, hash).get(10)!, hash)

/** A policy that allows exactly what a log shows. */
function policyFor(log: string, changes: { excludes?: string[]; digests?: Record<string, string[]>; keys?: string } = {}) {
  const digests: Record<string, string[]> = {}
  for (const line of log.split('\n').filter(Boolean)) {
    const entry = parseEntry(line) as ImaEntry
    if (!/^0+$/.test(entry.digest)) digests[entry.name] = [...(digests[entry.name] ?? []), entry.digest]
  }
  return parseRuntimePolicy(
    JSON.stringify({
      meta: { version: 1, generator: 3 },
      release: 0,
      digests: { ...digests, ...changes.digests },
      excludes: changes.excludes ?? [],
      keyrings: {},
      ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha1', dm_policy: null },
      'ima-buf': {},
      'verification-keys': changes.keys ?? '',
    }),
  )
}
const judge = (
  policy: ReturnType<typeof policyFor>,
  list: string,
  pcrs: VerifiedPcrs,
  progress: ImaProgress = FRESH_IMA,
  violations = false,
) => imaPolicy(policy, violations).judge({ pcrs, list, progress, bootAggregates: [] })
const ids = (...args: Parameters<typeof judge>) => judge(...args).failures.map((f) => f.eventId)

const LOG = text('secure-boot-ima-ng')
const LINES = LOG.split('\n').filter(Boolean)
const POLICY = policyFor(LOG)
const QUOTED = quoted('secure-boot-ima-ng')
const extend = (value: Buffer, line: string) =>
  createHash('sha256')
    .update(value)
    .update(
      createHash('sha256')
        .update((parseEntry(line) as ImaEntry).data)
        .digest(),
    )
    .digest()
const pcrAfter = (lines: readonly string[]) => lines.reduce((value, line) => extend(value, line), Buffer.alloc(32))

test.each(['secure-boot-ima-ng', 'secure-boot-ima-sig', 'no-secure-boot'])(
  'the log of the real machine %s replays in both banks, and a policy made of it accepts it',
  (machine) => {
    const log = text(machine)
    for (const hash of ['sha1', 'sha256'] as const) expect(ids(policyFor(log), log, quoted(machine, hash))).toEqual([])
  },
)

test('an unlisted file is named, with what was found', () => {
  const verdict = judge(policyFor(LINES.filter((l) => !l.endsWith(' /usr/bin/sh')).join('\n')), LOG, QUOTED)
  expect(verdict.failures).toMatchObject([
    {
      eventId: 'ima.validation.ima-ng.not_in_allowlist',
      context: { path: '/usr/bin/sh', got: 'd5de2143ccf806a575a8dce6e00f8bbd920a2a920c2b69246b55b95c5b63a2fb' },
    },
  ])
  expect(verdict.progress).toEqual(FRESH_IMA)
})
test('a file with another digest is named, with what was allowed', () => {
  const verdict = judge(policyFor(LOG, { digests: { '/usr/bin/sh': ['a'.repeat(64)] } }), LOG, QUOTED)
  expect(verdict.failures).toMatchObject([
    { eventId: 'ima.validation.ima-ng.runtime_policy_hash', context: { expected: ['a'.repeat(64)] } },
  ])
})
test('excludes match from the beginning, not to the end', () => {
  expect(ids(policyFor(LOG, { digests: { '/usr/bin/sh': ['a'.repeat(64)] }, excludes: ['/usr/bi'] }), LOG, QUOTED)).toEqual([])
  expect(ids(policyFor(LOG, { digests: { '/usr/bin/sh': ['a'.repeat(64)] }, excludes: ['usr/bin/sh', 'bin'] }), LOG, QUOTED)).toHaveLength(
    1,
  )
})

test('the log may be longer than what was quoted; what comes after is judged too, and comes again', () => {
  const half = 100
  const pcrs = pcrsOf(pcrAfter(LINES.slice(0, half)))
  expect(judge(POLICY, LOG, pcrs)).toMatchObject({ failures: [], progress: { nextEntry: half } })
  expect(ids(policyFor(LINES.slice(0, 200).join('\n')), LOG, pcrs).length).toBeGreaterThan(0)
})

test('judged in any increments, the verdict is the same', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 }), (sizes) => {
      let progress = FRESH_IMA
      let at = 0
      for (const size of [...sizes, LINES.length]) {
        const end = Math.min(at + size, LINES.length)
        const verdict = judge(
          POLICY,
          LINES.slice(progress.nextEntry, end)
            .map((l) => `${l}\n`)
            .join(''),
          pcrsOf(pcrAfter(LINES.slice(0, end))),
          progress,
        )
        expect(verdict.failures).toEqual([])
        progress = verdict.progress
        at = end
        expect(progress.nextEntry).toBe(end)
      }
    }),
    { numRuns: runs(20, 8) },
  )
})

test('a machine that measured nothing never passes', () => {
  const zero = pcrsOf(Buffer.alloc(32))
  expect(ids(POLICY, '', zero)).toEqual(['ima.pcr_mismatch'])
  expect(ids(POLICY, LOG, zero)).toContain('ima.pcr_mismatch')
  expect(ids(POLICY, '', QUOTED)).toEqual(['ima.pcr_mismatch'])
  const without = LINES.slice(1)
  expect(ids(POLICY, without.join('\n'), pcrsOf(pcrAfter(without)))).toEqual(['ima.validation.ima-ng.not_in_allowlist'])
})

const attacks: [string, (lines: string[]) => string[], string][] = [
  ['an entry removed', (l) => l.toSpliced(50, 1), 'ima.pcr_mismatch'],
  ['two entries swapped', (l) => l.toSpliced(50, 2, l[51]!, l[50]!), 'ima.pcr_mismatch'],
  ['an entry twice', (l) => l.toSpliced(50, 0, l[50]!), 'ima.pcr_mismatch'],
  ['a path changed', (l) => l.with(50, l[50]!.replace(/\S+$/, '/usr/bin/sh')), 'ima.validation.ima_hash'],
  ['a digest changed', (l) => l.with(50, l[50]!.replace(/sha256:../, 'sha256:00')), 'ima.validation.ima_hash'],
  ['the template hash changed', (l) => l.with(50, l[50]!.replace(/^10 ../, '10 00')), 'ima.validation.ima_hash'],
  ['a template hash of ones', (l) => l.with(50, l[50]!.replace(/^10 \S+/, `10 ${'f'.repeat(40)}`)), 'ima.validation.ima_hash'],
  ['an entry passed off as a violation', (l) => l.with(50, l[50]!.replace(/^10 \S+/, `10 ${'0'.repeat(40)}`)), 'ima.pcr_mismatch'],
  ['another PCR', (l) => l.with(50, l[50]!.replace(/^10/, '11')), 'ima.validation.ima_pcr'],
  ['an unknown template', (l) => l.with(50, l[50]!.replace('ima-ng', 'ima-xx')), 'ima.parser.entry'],
  ['a line cut in the middle', (l) => [...l.slice(0, -1), l.at(-1)!.slice(0, 60)], 'ima.parser.entry'],
]
test.each(attacks)('a log with %s is refused', (_name, change, id) => expect(ids(POLICY, change(LINES).join('\n'), QUOTED)).toContain(id))

test('a violation is left or counted, as the option says, and extends PCR 10 with ones', () => {
  const log = text('secure-boot-ima-sig')
  expect(log).toContain(`10 ${'0'.repeat(40)}`)
  expect(ids(policyFor(log), log, quoted('secure-boot-ima-sig'), FRESH_IMA, true)).toEqual(['ima.validation.tomtou'])
})

test('a file signed by a key of the policy needs no digest in it', () => {
  const log = text('secure-boot-ima-sig')
  const signed = log
    .split('\n')
    .filter((l) => / 0302[0-9a-f]+$/.test(l))
    .map((l) => (parseEntry(l) as ImaEntry).name)
  expect(signed.length).toBe(3)
  const pem = machineFile('ca', 'ima-signing.pem').toString()
  const der = pem.replace(/-----[A-Z ]+-----|\s/g, '')
  const digests = Object.fromEntries(signed.map((name) => [name, ['a'.repeat(64)]]))
  expect(ids(policyFor(log, { digests }), log, quoted('secure-boot-ima-sig')).length).toBe(3)
  expect(
    ids(policyFor(log, { digests, keys: JSON.stringify({ keyids: [0, 0], pubkeys: [der] }) }), log, quoted('secure-boot-ima-sig')),
  ).toEqual([])
})

test('random lines never crash and never pass', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 60 }), { maxLength: 20 }), (lines) =>
      expect(judge(POLICY, lines.join('\n'), QUOTED).failures.length).toBeGreaterThan(0),
    ),
    { numRuns: runs(200, 25) },
  )
})

test.each([
  ['no JSON', '{', /not valid JSON/],
  ['a list', '[]', /not an object/],
  [
    'a digest in capitals',
    '{"meta":{"version":1,"generator":0},"release":0,"digests":{"/x":["AA"]},"excludes":[],"keyrings":{},"ima":{"ignored_keyrings":[],"log_hash_alg":"sha1","dm_policy":null},"ima-buf":{},"verification-keys":""}',
    /digests\["\/x"\]\[0\]/,
  ],
  [
    'a look-ahead',
    '{"meta":{"version":1,"generator":0},"release":0,"digests":{},"excludes":["a(?=b)"],"keyrings":{},"ima":{"ignored_keyrings":[],"log_hash_alg":"sha1","dm_policy":null},"ima-buf":{},"verification-keys":""}',
    /excludes\[0\]/,
  ],
])('a policy that is %s is refused with the place of the fault', (_name, policy, reason) =>
  expect(() => parseRuntimePolicy(policy)).toThrow(reason),
)

test('an exclude that would hang a backtracking engine is judged in linear time', () => {
  const policy = policyFor(LOG, { excludes: ['/(a+)+b'] })
  const start = performance.now()
  policy.isExcluded(`/${'a'.repeat(50_000)}`)
  expect(performance.now() - start).toBeLessThan(2000)
})

test('the value of PCR 10 is kept in memory of its own, and stays the same one while nothing is measured', () => {
  const first = judge(POLICY, LOG, QUOTED).progress
  expect(first.pcr10!.buffer.byteLength).toBe(32) // a piece of Node's pool keeps 64 KiB
  const second = judge(POLICY, '', pcrsOf(Buffer.from(first.pcr10!)), first).progress
  expect(second.pcr10).toBe(first.pcr10)
})
