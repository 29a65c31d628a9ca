import { createHash } from 'node:crypto'
import { parseEntry } from '../../../../src/core/ima/entry.ts'
import { FRESH_IMA, type ImaProgress } from '../../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../../src/core/ima/judge-log.ts'
import { type ImaKey, keyringText, LazyKeys, readImaKey } from '../../../../src/core/ima/keyring.ts'
import { learnedText, learnKey, nothingLearned } from '../../../../src/core/ima/learned-from-log.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, pcr10After, quotedPcr10, runtimePolicy } from '../../../ima.ts'

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')
interface Round {
  policy?: Record<string, unknown>
  quoted?: readonly string[]
  before?: readonly string[]
  progress?: ImaProgress
  failOnViolation?: boolean
  aggregates?: string[]
}
function judge(lines: readonly string[], { policy, quoted, before, progress, failOnViolation, aggregates }: Round = {}) {
  const value = pcr10After([...(before ?? []), ...(quoted ?? lines)])
  return imaPolicy(parseRuntimePolicy(runtimePolicy(policy)), failOnViolation ?? false).judge({
    pcrs: quotedPcr10(value),
    list: lines.map((line) => `${line}\n`).join(''),
    progress: progress ?? FRESH_IMA,
    bootAggregates: (aggregates ?? []).map((digest) => ({ hash: 'sha256' as const, digest })),
  })
}
const ids = (...args: Parameters<typeof judge>) => judge(...args).failures.map((f) => f.eventId)

test('boot_aggregate may be in the policy, excluded, or what the boot log gives; else it is refused', () => {
  expect(ids([BOOT_AGGREGATE])).toEqual([])
  expect(ids([BOOT_AGGREGATE], { policy: { digests: {} } })).toEqual(['ima.validation.ima-ng.not_in_allowlist'])
  expect(ids([BOOT_AGGREGATE], { policy: { digests: {}, excludes: ['boot_aggregate'] } })).toEqual([])
  expect(ids([BOOT_AGGREGATE], { policy: { digests: {} }, aggregates: ['b0'.repeat(32)] })).toEqual([])
  expect(ids([BOOT_AGGREGATE], { policy: { digests: {} }, aggregates: ['b1'.repeat(32)] })).toEqual([
    'ima.validation.ima-ng.runtime_policy_hash',
  ])
})

test('a wrong digest of a signed file passes by its signature, and a bad signature by the digest', () => {
  const lines = [BOOT_AGGREGATE, ...imaVector('signatures.txt').toString().trim().split('\n')]
  const keys = new Map(
    ['rsa2048pub.pem', 'secp256k1pub.pem']
      .map((file) => readImaKey(imaVector(file)))
      .map((k) => [(k as { id: number }).id, (k as never)['key']]),
  )
  const boot = { boot_aggregate: ['b0'.repeat(32)] }
  const signed = { 'verification-keys': keyringText(keys) }
  expect(ids(lines, { policy: { ...signed, digests: { ...boot, '/usr/bin/dd': ['a'.repeat(40)] } } })).toEqual([])
  expect(ids(lines)).toEqual(Array(2).fill('ima.validation.ima-ng.not_in_allowlist'))
  const digests = {
    '/usr/bin/dd': ['1350320e5f7f51553bac8aa403489a1b135bc101'],
    '/usr/bin/zmore': ['1cb84b12db45d7da8de58ba6744187db84082f0e'],
  }
  expect(ids(lines, { policy: { digests: { ...boot, ...digests } } })).toEqual([])
})

test('of a signature that allows nothing it is said whether its key is unknown or the file was changed', () => {
  const [line] = imaVector('signatures.txt').toString().trim().split('\n')
  const [digest, name, signature] = line!.split(' ').slice(3) as [string, string, string]
  const key = [imaVector('rsa2048pub.pem'), imaVector('secp256k1pub.pem')].map((pem) => readImaKey(pem) as ImaKey)
  const keyId = signature.slice(6, 14)
  const policy = { 'verification-keys': keyringText(new Map(key.map(({ id, key }) => [id, key]))) }
  const changed = imaLine(`ima-sig ${digest.replace(/.$/, (last) => (last === '0' ? '1' : '0'))} ${name} ${signature}`)
  const messages = (log: string[], round: Round = {}) => judge(log, round).failures.map(({ context }) => context.message)
  expect(messages([BOOT_AGGREGATE, line!])).toEqual([
    expect.stringContaining(`it is signed by key ${keyId}, which the policy does not know`),
  ])
  expect(messages([BOOT_AGGREGATE, changed], { policy })).toEqual([expect.stringContaining(`its signature by key ${keyId} does not hold`)])
  expect(messages([BOOT_AGGREGATE, line!], { policy })).toEqual([])
})

test('a malformed signature fails also where the file is listed or excluded', () => {
  const line = imaLine(`ima-sig sha256:${'11'.repeat(32)} /x 0302049999999900`)
  const policy = { digests: { boot_aggregate: ['b0'.repeat(32)], '/x': ['11'.repeat(32)] }, excludes: ['/x'] }
  expect(ids([BOOT_AGGREGATE, line], { policy })).toEqual(['ima.validation.ima_hash'])
  const said = (signature: string) =>
    judge([BOOT_AGGREGATE, imaLine(`ima-sig sha256:${'11'.repeat(32)} /x ${signature}`)]).failures.map(({ context }) => context.message)
  expect(said('0302049999999900')).toEqual([expect.stringMatching(/malformed: it has 8 bytes, and its header alone has 9$/)])
  expect(said('030204999999990100aabb')).toEqual([expect.stringMatching(/malformed: its header says 256 bytes, and 2 are there$/)])
})
test('a signature of another length than its key makes says so', () => {
  const { id, key } = readImaKey(imaVector('rsa2048pub.pem')) as ImaKey
  const policy = { 'verification-keys': keyringText(new Map([[id, key]])) }
  const signature = `030204${id.toString(16).padStart(8, '0')}0003aabbcc`
  const line = imaLine(`ima-sig sha256:${'11'.repeat(32)} /x ${signature}`)
  expect(judge([BOOT_AGGREGATE, line], { policy }).failures.map(({ context }) => context.message)).toEqual([
    expect.stringContaining('its signature has 3 bytes, and key '),
  ])
})

describe('measured keys', () => {
  const keyLine = imaVector('keyring.txt').toString().trim()
  const keyDigest = 'a7d52aaa18c23d2d9bb2abb4308c0eeee67387a42259f4a6b1a42257065f3d5a'
  const lines = [BOOT_AGGREGATE, keyLine]
  test.each<[string, Record<string, unknown>, string[], boolean]>([
    ['an accepted key is learned', { keyrings: { '.ima': [keyDigest] } }, [], true],
    ['an excluded key passes and is trusted by nobody', { excludes: ['\\.ima'] }, [], false],
    ['an unknown keyring fails', {}, ['ima.validation.ima-ng.not_in_allowlist'], false],
    ['another key fails', { keyrings: { '.ima': ['a'.repeat(64)] } }, ['ima.validation.ima-ng.runtime_policy_hash'], false],
    ['an ignored keyring is not learned', { ima: { ignored_keyrings: ['.ima'], log_hash_alg: 'sha1', dm_policy: null } }, [], false],
    ['all keyrings may be ignored', { ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha1', dm_policy: null } }, [], false],
  ])('%s', (_name, policy, expected, learned) => {
    const verdict = judge(lines, { policy })
    expect(verdict.failures.map((f) => f.eventId)).toEqual(expected)
    expect(verdict.progress.learned !== '').toBe(learned)
  })
  test('a key behind the quoted entry is learned only when it was quoted', () => {
    const policy = { keyrings: { '.ima': [keyDigest] } }
    const first = judge(lines, { policy, quoted: [BOOT_AGGREGATE] })
    expect(first).toMatchObject({ failures: [], progress: { nextEntry: 1, learned: '' } })
    const second = judge([keyLine], { policy, before: [BOOT_AGGREGATE], progress: first.progress })
    expect(second).toMatchObject({ failures: [], progress: { nextEntry: 2 } })
    expect(second.progress.learned).not.toBe('')
  })
  test('a signed file that is shown as a buffer is refused, excluded or not: the template’s name is in no hash', () => {
    const der = keyLine.split(' ').at(-1)!
    const relabelled = imaLine(`ima-buf sha256:${keyDigest} /tmp/ring ${der}`)
    for (const policy of [
      { excludes: ['/tmp/.*'] },
      { keyrings: { '/tmp/ring': [keyDigest] } },
      { ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha1', dm_policy: null } },
    ])
      expect(ids([BOOT_AGGREGATE, relabelled], { policy })).toEqual(['ima.validation.ima-ng.runtime_policy_hash'])
  })
  test('another key under the digest of an accepted one is refused, though root can extend PCR 10 with it', () => {
    const der = keyLine.split(' ').at(-1)!.replace('4ce55be3', '4ce55be4')
    const forged = imaLine(`ima-buf sha256:${keyDigest} .ima ${der}`)
    expect(ids([BOOT_AGGREGATE, forged], { policy: { keyrings: { '.ima': [keyDigest] }, 'ima-buf': { '.ima': [keyDigest] } } })).toEqual([
      'ima.validation.ima-ng.runtime_policy_hash',
    ])
  })
})

test('other buffers are compared by their name, and an unlisted one fails', () => {
  const data = Buffer.from('kexec command line')
  const lines = [BOOT_AGGREGATE, imaLine(`ima-buf sha256:${sha256(data)} kexec-cmdline ${data.toString('hex')}`)]
  expect(ids(lines)).toEqual(['ima.validation.ima-ng.not_in_allowlist'])
  expect(ids(lines, { policy: { 'ima-buf': { 'kexec-cmdline': [sha256(data)] } } })).toEqual([])
})

test('a template hash that is no hex makes the line unreadable: it is not in the PCR either', () => {
  const line = imaLine(`ima-ng sha256:${'22'.repeat(32)} /x`)
  expect(ids([BOOT_AGGREGATE, line.replace(/^10 ../, '10 zz')], { policy: { excludes: ['/x'] }, quoted: [BOOT_AGGREGATE] })).toEqual([
    'ima.parser.entry',
  ])
})

test('keys of a log are learned up to a bound', () => {
  const learned = nothingLearned()
  const { key } = readImaKey(imaVector('rsa2048pub.pem')) as ImaKey
  for (let id = 0; id < 1100; id++) learnKey(learned, `.ring${id % 3}`, { id, key })
  expect([...learned.keyrings.values()].reduce((sum, ring) => sum + ring.size, 0)).toBe(1000)
})

test('keys of earlier rounds verify signatures as those of the policy do, and are handed on', () => {
  const [rsaLine] = imaVector('signatures.txt').toString().split('\n') as [string]
  const ring = new LazyKeys()
  const { id, key } = readImaKey(imaVector('rsa2048pub.pem')) as ImaKey
  ring.set(id, key)
  const learned = learnedText({ ...nothingLearned(), keyrings: new Map([['.ima', ring]]) })
  const lines = [rsaLine, imaLine(`ima-ng sha256:${'22'.repeat(32)} /x`)]
  const progress = { ...FRESH_IMA, nextEntry: 1, pcr10: pcr10After([BOOT_AGGREGATE]), learned }
  const policy = { excludes: ['/x'] }
  const verdict = judge(lines, { policy, before: [BOOT_AGGREGATE], progress })
  expect(verdict).toMatchObject({ failures: [], progress: { learned } })
  expect(ids(lines, { policy, before: [BOOT_AGGREGATE], progress: { ...progress, learned: '' } })).toHaveLength(1)
  expect(judge([], { before: [BOOT_AGGREGATE], progress }).progress.learned).toBe(learned)
})

test('more keys in one log than any kernel loads are not read', () => {
  const key = readImaKey(imaVector('rsa2048pub.pem')) as ImaKey
  const der = key.key.export({ format: 'der', type: 'spki' })
  const line = imaLine(`ima-buf sha256:${sha256(der)} .ima ${der.toString('hex')}`)
  const lines = [BOOT_AGGREGATE, ...Array.from({ length: 2003 }, () => line)]
  const { failures } = judge(lines, { policy: { keyrings: { '.ima': [sha256(der)] } } })
  expect(failures.map((f) => [f.eventId, f.context['line']])).toEqual([2002, 2003, 2004].map((n) => ['ima.invalid_key', n]))
})

test('a quote that falls further behind a growing log is told', () => {
  const file = (i: number) => imaLine(`ima-ng sha256:${'22'.repeat(32)} /f${i}`)
  const policy = { excludes: ['/f'] }
  const all = Array.from({ length: 30 }, (_, i) => file(i))
  const first = judge([BOOT_AGGREGATE, ...all.slice(0, 10)], { policy, quoted: [BOOT_AGGREGATE] })
  expect(first.failures).toEqual([])
  const next = judge(all, { policy, before: [BOOT_AGGREGATE], quoted: all.slice(0, 2), progress: first.progress })
  expect(next.failures.map((f) => f.eventId)).toEqual(['ima.quote_progress'])
})

test('a hostile log cannot make failures without end', () => {
  const lines = [BOOT_AGGREGATE, ...Array.from({ length: 500 }, (_, i) => imaLine(`ima-ng sha256:${'33'.repeat(32)} /evil${i}`))]
  const { failures } = judge(lines, { quoted: [] })
  expect(failures.length).toBeLessThanOrEqual(101)
  expect(failures.at(-1)).toMatchObject({ eventId: 'ima.pcr_mismatch', context: { more: 400 } })
})

test('violations count whatever their line says, where they count: nothing of it is in a hash', () => {
  const zeros = '0'.repeat(40)
  const lines = ['ima-ng sha256:', 'ima-sig sha256:', 'ima-buf sha256:', 'ima-ngv2 ima:sha256:'].flatMap((head) =>
    ['/var/log/x', '.ima', 'boot_aggregate', 'x'].map((name) => `10 ${zeros} ${head}${'0'.repeat(64)} ${name} `),
  )
  for (const line of lines) {
    const policy = { excludes: ['/var/log/', '.*'], ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha1', dm_policy: null } }
    expect([line, ids([BOOT_AGGREGATE, line], { failOnViolation: true, policy })]).toEqual([line, ['ima.validation.tomtou']])
    expect([line, ids([BOOT_AGGREGATE, line], { policy })]).toEqual([line, []])
  }
})
test('a violation in place of boot_aggregate does not begin a log', () => {
  expect(ids([`10 ${'0'.repeat(40)} ima-ng sha256:${'0'.repeat(64)} boot_aggregate`])).toContain('ima.validation.ima-ng.not_in_allowlist')
})

test.each<[string, Record<string, unknown>, RegExp]>([
  ['no meta', { meta: undefined }, /^meta: /],
  ['another generator', { meta: { version: 1, generator: 4 } }, /^meta\.generator: /],
  ['a release that is a text', { release: '1' }, /^release: /],
  ['a name without digests', { digests: { '/x': [] } }, /^digests\["\/x"\]: /],
  ['excludes that are an object', { excludes: {} }, /^excludes: /],
  ['an exclude that is a number', { excludes: ['a', 1] }, /^excludes\[1\]: /],
  ['an unknown hash of the log', { ima: { ignored_keyrings: [], log_hash_alg: 'md5', dm_policy: null } }, /^ima\.log_hash_alg: /],
  [
    'a device-mapper policy without rules',
    { ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy: {} } },
    /^ima\.dm_policy\.match_on: /,
  ],
  ['keys that are no JSON', { 'verification-keys': '{' }, /^verification-keys: /],
  ['a bad buffer', { 'ima-buf': { x: ['0'] } }, /^ima-buf\.x\[0\]: /],
])('a policy with %s is refused with its place', (_name, changes, place) => {
  expect(() => parseRuntimePolicy(runtimePolicy(changes))).toThrow(place)
})
test('names like __proto__ are names', () => {
  const policy = parseRuntimePolicy(runtimePolicy().replace('"digests":{', `"digests":{"__proto__":["${'a'.repeat(64)}"],`))
  expect(policy.digests.has('__proto__')).toBe(true)
})
test('arrays nested 100,000 deep are refused before they are parsed', () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  expect(() => parseRuntimePolicy(runtimePolicy().replace('"release":0', `"release":${deep}`))).toThrow('nested deeper than 64 levels')
})

test('a boot_aggregate of zeros, of a TPM without the bank of the kernel, is told as that and not as a machine with other firmware', () => {
  const line = imaLine(`ima-ng sha256:${'0'.repeat(64)} boot_aggregate`)
  const policy = imaPolicy(parseRuntimePolicy(runtimePolicy()), false)
  const { failures } = policy.judge({ pcrs: quotedPcr10(pcr10After([line])), list: line, progress: FRESH_IMA, bootAggregates: [] })
  expect(failures.map(({ context }) => context['meaning'])).toEqual([expect.stringContaining('found no PCR bank to make it from')])
})

describe('what is written in another way', () => {
  const digest = 'ab'.repeat(32)
  const policy = { digests: { boot_aggregate: ['b0'.repeat(32)], '/bin/a': [digest] } }
  test.each([digest, digest.toUpperCase(), `AB${digest.slice(2)}`])('a digest in the letters of %s is the listed one', (written) => {
    expect(ids([BOOT_AGGREGATE, imaLine(`ima-ng sha256:${written} /bin/a`)], { policy })).toEqual([])
  })

  test.each(['03', '0302', '00'])('a signature that is nothing but %s is malformed, also of a file that is listed', (signature) => {
    const { failures } = judge([BOOT_AGGREGATE, imaLine(`ima-sig sha256:${digest} /bin/a ${signature}`)], { policy })
    expect(failures.map(({ eventId, context }) => [eventId, context['got'], String(context['message'])])).toEqual([
      ['ima.validation.ima_hash', signature, expect.stringContaining('the signature of /bin/a is malformed')],
    ])
  })

  test('a line that is not what was hashed says which hash its list is of, where it is of another', () => {
    const line = imaLine(`ima-ng sha256:${digest} /bin/a`)
    const { data } = parseEntry(line)
    const [column] = line.split(' ').slice(1)
    const told = (hash: string) => {
      const { failures } = judge([BOOT_AGGREGATE, line.replace(column!, hash)], { policy, quoted: [BOOT_AGGREGATE, line] })
      return failures.flatMap(({ eventId, context }) => (eventId === 'ima.validation.ima_hash' ? [context] : []))
    }
    expect(told('cd'.repeat(20))).toEqual([
      expect.objectContaining({ got: 'cd'.repeat(20), expected: [column], message: expect.stringContaining('the line was altered') }),
    ])
    const other = createHash('sha256').update(data).digest('hex')
    expect(told(other)).toEqual([expect.objectContaining({ log_hash_alg: 'sha256', message: expect.stringContaining('is one of sha256') })])
  })

  test.each([
    [4096, true],
    [4097, false],
  ])('a name of %d characters can be accepted: %s', (length, isOffered) => {
    const name = `/${'x'.repeat(length - 1)}`
    const [failed] = judge([BOOT_AGGREGATE, imaLine(`ima-ng sha256:${digest} ${name}`)], { policy }).failures
    expect('accept' in (failed?.context ?? {})).toBe(isOffered)
  })
})
