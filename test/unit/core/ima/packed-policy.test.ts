import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../../src/core/ima/judge-log.ts'
import { computedKeyId, keyringText } from '../../../../src/core/ima/keyring.ts'
import { isLight, packPolicy, unpackPolicy } from '../../../../src/core/ima/packed-policy.ts'
import { MAX_NAME, MAX_POLICY_TEXT, parseRuntimePolicy, runtimePolicyOf } from '../../../../src/core/ima/runtime-policy.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, pcr10After, quotedPcr10, runtimePolicy } from '../../../ima.ts'
import { runs } from '../../../thorough.ts'

const digest = (n: number) => n.toString(16).padStart(2, '0').repeat(32)
const [rsaLine, ecLine] = imaVector('signatures.txt').toString().split('\n') as [string, string]
const keyringLine = imaVector('keyring.txt').toString().trim()
const RING = new Map(
  ['rsa2048pub.pem', 'secp256k1pub.pem'].map((file) => createPublicKey(imaVector(file))).map((key) => [computedKeyId(key), key]),
)
const KEY_DIGEST = 'a7d52aaa18c23d2d9bb2abb4308c0eeee67387a42259f4a6b1a42257065f3d5a'
const LINES = [
  ...[1, 2, 3].flatMap((n) => ['/bin/a', '/bin/ü', '/var/log/x', '/many'].map((name) => imaLine(`ima-ng sha256:${digest(n)} ${name}`))),
  rsaLine,
  ecLine,
  keyringLine,
  imaLine('ima-buf sha256:0000000000000000000000000000000000000000000000000000000000000000 kexec-cmdline 00ff'),
]
const digestsOf = fc.dictionary(
  fc.constantFrom('/bin/a', '/bin/ü', '/many', '\ud800'),
  fc.array(fc.integer({ min: 1, max: 3 }).map(digest), { minLength: 1, maxLength: 3 }),
)
const policies = fc.record({
  digests: digestsOf.map((digests) => ({ boot_aggregate: ['b0'.repeat(32)], ...digests })),
  excludes: fc.subarray(['/var/log/', '/bin/.*', '^\\Q', 'ima']).map((list) => list.filter((text) => !text.includes('\\Q'))),
  keyrings: fc.constantFrom({}, { '.ima': [KEY_DIGEST] }),
  ima: fc.record({
    ignored_keyrings: fc.constantFrom([], ['.ima'], ['*']),
    log_hash_alg: fc.constant('sha1'),
    dm_policy: fc.constant(null),
  }),
  'verification-keys': fc.constantFrom('', keyringText(RING)),
})

test('a policy that went from thread to thread judges as the one that was parsed', () => {
  fc.assert(
    fc.property(policies, fc.array(fc.constantFrom(...LINES), { maxLength: 20 }), (members, lines) => {
      const parsed = parseRuntimePolicy(runtimePolicy(members))
      const packed = structuredClone(packPolicy(parsed))
      const taken = unpackPolicy(packed)
      const all = [BOOT_AGGREGATE, ...lines]
      const evidence = { pcrs: quotedPcr10(pcr10After(all)), list: all.join('\n'), progress: FRESH_IMA, bootAggregates: [] }
      expect(imaPolicy(taken, false).judge(evidence)).toEqual(imaPolicy(parsed, false).judge(evidence))
      expect(packPolicy(taken)).toEqual(packed)
    }),
    { numRuns: runs(100, 40) },
  )
})
const attribute = { name: 'root', uuid: null, major: null, minor: null, minor_count: null }
const rule = {
  required: false,
  device_resume_required: false,
  device_rename: { valid_name: null as string | null, valid_uuid: null },
  device_remove: { allow_removal: false },
  table_load: { allow_multiple_loads: false, targets: [], ...attribute, num_targets: 0 },
  allow_clear: false,
}
const dmPolicy = { version: 1, match_on: 'name', rules: { root: rule } }
/** A policy whose rule for the device mapper has this expression. */
const deviceMapper = (expression: string) => {
  const rules = { root: { ...rule, device_rename: { ...rule.device_rename, valid_name: expression } } }
  return { ima: { ignored_keyrings: [], log_hash_alg: 'sha256', dm_policy: { ...dmPolicy, rules } } }
}

test('rules of the device mapper and names that have no form as a record come along', () => {
  const many = Array.from({ length: 300 }, (_, i) => i.toString(16).padStart(64, '0'))
  const text = runtimePolicy({
    digests: { '/many': many, '/one': [digest(1)] },
    ima: { ignored_keyrings: ['a'], log_hash_alg: 'sha256', dm_policy: dmPolicy },
  })
  const taken = unpackPolicy(structuredClone(packPolicy(parseRuntimePolicy(text))))
  expect(taken.digests.get('/many')).toEqual(many)
  expect([...taken.digests].map(([name]) => name)).toEqual(['/one', '/many'])
  expect(taken).toMatchObject({ logHash: 'sha256', deviceMapper: { matchOn: 'name', rules: [{ name: 'root' }] } })
})
test.each<[string, Record<string, unknown>, string | null]>([
  ['a version that is no whole number', { meta: { version: 1.5, generator: 3 } }, 'meta.version: must be a whole number'],
  ['a release that is negative', { release: -1 }, 'release: must be a whole number'],
  ['a name as long as any may be', { digests: { ['x'.repeat(MAX_NAME)]: [digest(1)] } }, null],
  ['a longer name', { digests: { ['x'.repeat(MAX_NAME + 1)]: [digest(1)] } }, `the name has ${MAX_NAME + 1} characters`],
])('a policy with %s is refused in words: %p', (_what, changes, reason) => {
  const parse = () => parseRuntimePolicy(runtimePolicy(changes))
  if (reason === null) expect(parse().digests.size).toBe(1)
  else expect(parse).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(reason) }))
})
test('a policy whose text is longer than any may be is refused, whatever is in it', () => {
  expect(() => runtimePolicyOf({}, MAX_POLICY_TEXT + 1)).toThrow(`at most ${MAX_POLICY_TEXT} are accepted`)
  expect(() => runtimePolicyOf({}, MAX_POLICY_TEXT)).toThrow('meta')
})
test('what is shared is not copied', () => {
  const digests = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`/f${i}`, [digest(1)]]))
  const parsed = parseRuntimePolicy(runtimePolicy({ digests }))
  const taken = unpackPolicy(packPolicy(parsed))
  expect(taken.digests.packed.records).toBe(parsed.digests.packed.records)
  expect(packPolicy(parsed).rest.byteLength).toBeLessThan(200)
})
test('excludes that take long to compile make a policy heavy; a hundred thousand digests do not', () => {
  const light = (changes: object) => isLight(packPolicy(parseRuntimePolicy(runtimePolicy(changes as never))))
  const list = (n: number) => Array.from({ length: n }, (_, i) => `/var/lib/app${i}/(cache|tmp)/.*\\.log$`)
  expect(
    light({ excludes: list(60), digests: Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`/f${i}`, [digest(1)]])) }),
  ).toBe(true)
  expect(light({ excludes: list(300) })).toBe(false)
  const dear = '(?i)[a-\\U0010ffff]' // each costs ten milliseconds, and has three steps
  expect(light({ excludes: [dear] })).toBe(true)
  expect(light({ excludes: [dear, dear, dear, dear, dear] })).toBe(false)
  expect(light(deviceMapper(dear))).toBe(true)
  expect(light(deviceMapper(`${dear}${'[a-\\U0010ffff]'.repeat(4)}`))).toBe(false)
  expect(light(deviceMapper('a{1000}'.repeat(5)))).toBe(false)
  expect(light({ ima: { ignored_keyrings: ['x'.repeat(300_000)], log_hash_alg: 'sha1', dm_policy: null } })).toBe(false)
  const many = Array.from({ length: 300 }, (_, i) => i.toString(16).padStart(64, '0'))
  expect(light({ digests: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`/f${i}`, many])) })).toBe(false)
})
test('keys are read when a signature asks for them', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const taken = unpackPolicy(packPolicy(parseRuntimePolicy(runtimePolicy({ 'verification-keys': keyringText(new Map([[7, publicKey]])) }))))
  expect(taken.keys.size).toBe(1)
  expect(taken.keys.get(7)!.equals(publicKey)).toBe(true)
  expect(taken.keys.get(8)).toBeUndefined()
})
