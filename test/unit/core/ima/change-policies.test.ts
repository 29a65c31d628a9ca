import { compareLog } from '../../../../src/core/ima/compare-log.ts'
import { parseKeyring } from '../../../../src/core/ima/keyring.ts'
import { convertLegacyPolicy } from '../../../../src/core/ima/legacy-allow-list.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { comparePolicies } from '../../../../src/core/policy/compare-policies.ts'
import { mergePolicies } from '../../../../src/core/policy/merge-policies.ts'
import { machineState } from '../../../boot-log.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, runtimePolicy } from '../../../ima.ts'

const DM_RULE = {
  required: false,
  device_resume_required: false,
  device_rename: { valid_name: null, valid_uuid: null },
  device_remove: { allow_removal: false },
  allow_clear: false,
  table_load: { allow_multiple_loads: false, num_targets: 0, targets: [] },
}
const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const timestamp = '2026-01-01T00:00:00.000Z'
const merge = (base: unknown, ...additions: unknown[]) =>
  JSON.parse(
    mergePolicies(
      { file: 'base', text: typeof base === 'string' ? base : JSON.stringify(base) },
      additions.map((json, i) => ({ file: `change ${i}`, text: typeof json === 'string' ? json : JSON.stringify(json) })),
      timestamp,
    ),
  )
const keyring = (file: string) => {
  const pubkey = imaVector(file)
    .toString()
    .split('\n')
    .filter((line) => !line.startsWith('-'))
    .join('')
  return JSON.stringify({ pubkeys: [pubkey] })
}

describe('merge', () => {
  test('takes the union of everything, and drops nothing', () => {
    const base = runtimePolicy({
      digests: { '/a': [A], '/b': [A] },
      excludes: ['/var/'],
      'verification-keys': keyring('rsa2048pub.pem'),
      mine: 7,
    })
    const addition = runtimePolicy({
      digests: { '/b': [B], '/c': [B] },
      excludes: ['/tmp/', '/var/'],
      keyrings: { '.ima': [A] },
      'ima-buf': { x: [A] },
      ima: { ignored_keyrings: ['.evm'], log_hash_alg: 'sha1', dm_policy: null },
      'verification-keys': keyring('secp256k1pub.pem'),
    })
    const merged = merge(base, addition)
    expect(merged).toMatchObject({
      meta: { version: 1, generator: 3, timestamp },
      digests: { '/a': [A], '/b': [A, B], '/c': [B] },
      excludes: ['/var/', '/tmp/'],
      keyrings: { '.ima': [A] },
      'ima-buf': { x: [A] },
      ima: { ignored_keyrings: ['.evm'], log_hash_alg: 'sha1', dm_policy: null },
      mine: 7,
    })
    expect(parseKeyring(merged['verification-keys'], '').size).toBe(2)
  })

  test.each<[string, unknown]>([
    ['a part of a policy', { digests: { '/n': [A] } }],
    ['a failure', { eventId: 'x', context: { message: 'm', accept: { digests: { '/n': [A] } } } }],
    [
      'what `policy test --json` prints',
      { accepted: false, failures: [{ context: { accept: { digests: { '/n': [A] } } } }, { context: { accept: { 7: [A] } } }] },
    ],
    ['a file for each kind', { runtime_policy: { digests: { '/n': [A] } }, tpm_policy: { 7: [A] }, mb_policy: {} }],
    ['a file with the policy as a text', { runtime_policy: runtimePolicy({ digests: { '/n': [A] } }) }],
  ])('takes %s', (_name, change) => {
    expect(merge(runtimePolicy(), change).digests).toMatchObject({ '/n': [A], boot_aggregate: ['b0'.repeat(32)] })
  })

  test('rules for mapped devices stay, and two different sets of them are a conflict', () => {
    const withRules = (...rules: string[]) =>
      runtimePolicy({
        ima: {
          ignored_keyrings: [],
          log_hash_alg: 'sha1',
          dm_policy: { version: 1, match_on: 'name', rules: Object.fromEntries(rules.map((name) => [name, DM_RULE])) },
        },
      })
    expect(Object.keys(merge(withRules('a'), withRules('a'), runtimePolicy()).ima.dm_policy.rules)).toEqual(['a'])
    expect(() => merge(withRules('a'), withRules('b'))).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringContaining('dm_policy'), hint: expect.any(String) }),
    )
  })

  test('static PCRs get more values, and a mask grows with them', () => {
    expect(merge({ 7: A, 4: [B] }, { accept: { 7: [B.toUpperCase()] } }, { tpm_policy: { 0: A } })).toEqual({ 0: [A], 4: [B], 7: [A, B] })
    expect(merge({ 7: A, mask: '0x480' }, { 0: [A] })).toEqual({ 0: [A], 7: [A], mask: '0x481' })
  })

  test('a reference state gets more alternatives, from the accept of a failure', () => {
    const state = machineState('secure-boot-ima-ng')
    const [kernel] = state['kernels'] as [Record<string, unknown>]
    const accept = { kernels: [{ ...kernel, kernel_cmdline: 'quiet' }] }
    expect(merge(state, { context: { accept } })['kernels']).toEqual([kernel, accept.kernels[0]])
    expect(() => merge(state, { mb_policy: { ...state, has_secureboot: false } })).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringMatching(/^change 0: /) }),
    )
    expect(() => merge(state, { kernels: ['no kernel'] })).toThrow(expect.objectContaining({ code: 'invalid_request' }))
  })

  test.each<[string, unknown, unknown, string, RegExp]>([
    [
      'another hash of the log',
      runtimePolicy(),
      runtimePolicy({ ima: { ignored_keyrings: [], log_hash_alg: 'sha256' } }),
      'conflict',
      /change 0: ima\.log_hash_alg is sha256/,
    ],
    ['a signed base', { payload: 'e30=', payloadType: 'x', signatures: [] }, {}, 'refused', /^base: is signed/],
    ['a signed addition', runtimePolicy(), { payload: 'e30=', signatures: [] }, 'refused', /^change 0: is signed/],
    ['an addition of another kind', runtimePolicy(), { 7: [A] }, 'invalid_request', /^change 0: has nothing for a runtime policy/],
    ['a base that is no policy', { x: 1 }, {}, 'invalid_request', /^base: this is not a runtime policy/],
    ['a base that is no JSON', '{', {}, 'invalid_request', /^base: is not valid JSON/],
    ['a digest that is none', runtimePolicy(), { digests: { '/x': ['zz'] } }, 'invalid_request', /^change 0: digests\["\/x"\]/],
    ['digests that are no object', runtimePolicy(), { digests: [] }, 'invalid_request', /^change 0: digests: is not an object/],
    ['digests that are null', runtimePolicy(), { digests: null }, 'invalid_request', /^change 0: digests: is not an object/],
    ['a list that is none', runtimePolicy(), { excludes: 'all' }, 'invalid_request', /^change 0: excludes/],
    ['a bad expression', runtimePolicy(), { excludes: ['('] }, 'invalid_request', /excludes\[0\]/],
    ['PCR 10', { 7: [A] }, { 10: [A] }, 'invalid_request', /PCR 10 belongs to IMA/],
  ])('refuses %s', (_name, base, change, code, message) => {
    expect(() => merge(base, change)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })

  test('refuses a key id that stands for two keys', () => {
    const [one, two] = ['rsa2048pub.pem', 'secp256k1pub.pem'].map((file) => JSON.stringify({ ...JSON.parse(keyring(file)), keyids: [5] }))
    expect(() => merge(runtimePolicy({ 'verification-keys': one }), { 'verification-keys': two })).toThrow(/key id 0x00000005/)
  })
})

describe('convert', () => {
  const convert = (text: string, more: { excludes?: string[] } = {}) => {
    const { policy, ...rest } = convertLegacyPolicy({ text, source: 'list', excludes: more.excludes ?? [], keys: new Map(), timestamp })
    return { policy: JSON.parse(policy), ...rest }
  }

  test('reads a flat list: digests, keyrings, blanks in paths, lines that are none', () => {
    const { policy, form, unread } = convert(`${A}  /opt/a b\n${B} *\n\nfnord\n${B}\t%keyring:.ima\n${B} /opt/a b\n`, {
      excludes: ['/var/'],
    })
    expect({ form, unread }).toEqual({ form: 'flat', unread: [4] })
    expect(policy).toMatchObject({
      meta: { generator: 3 },
      digests: { '/opt/a_b': [A, B] },
      keyrings: { '.ima': [B] },
      excludes: ['/var/'],
    })
  })

  test('reads a JSON list, whose empty members mean nothing', () => {
    const list = {
      meta: { version: 0 },
      release: 3,
      hashes: { '/a': [A] },
      excludes: ['/x'],
      keyrings: {},
      ima: { ignored_keyrings: ['.evm'] },
      'verification-keys': null,
    }
    const { policy, form } = convert(JSON.stringify(list))
    expect(form).toBe('json')
    expect(policy).toMatchObject({
      digests: { '/a': [A] },
      excludes: ['/x'],
      ima: { ignored_keyrings: ['.evm'], log_hash_alg: 'sha1', dm_policy: null },
    })
  })

  test('brings an old policy to version 1, and leaves one of version 1 what it is', () => {
    const old = JSON.parse(runtimePolicy({ meta: { version: 0, generator: 1 } }))
    expect(convert(JSON.stringify(old))).toMatchObject({ form: 'old-policy', policy: { meta: { version: 1, generator: 2 } } })
    const { policy, form } = convert(runtimePolicy(), { excludes: ['/x'] })
    expect(form).toBe('policy')
    expect(comparePolicies(runtimePolicy(), JSON.stringify(policy))).toEqual([
      { path: 'excludes', change: 'added', added: ['/x'], removed: [] },
    ])
  })

  test.each([
    ['a policy without version', JSON.stringify({ digests: { '/a': [A] } }), /neither/],
    ['a signed policy', JSON.stringify({ payload: 'x', signatures: [] }), /is signed/],
    ['a text of no lines', 'nothing here\n', /no line is a digest/],
    ['JSON hashes that are no digests', JSON.stringify({ hashes: { '/a': ['x'] } }), /digests\["\/a"\]/],
  ])('refuses %s', (_name, text, message) => {
    expect(() => convert(text)).toThrow(message)
  })
})

describe('diff', () => {
  test('tells what was added, removed and changed, and not when a policy was made', () => {
    const before = runtimePolicy({ digests: { '/a': [A], '/b': [A], '/c': [B, A] }, 'verification-keys': keyring('rsa2048pub.pem') })
    const after = runtimePolicy({ meta: { version: 1, generator: 2 }, digests: { '/b': [B], '/c': [A, B], '/d': [A] }, excludes: ['/x'] })
    expect(comparePolicies(before, before)).toEqual([])
    expect(comparePolicies(before, after)).toMatchObject([
      { path: 'digests["/a"]', change: 'removed', removed: [A] },
      { path: 'digests["/b"]', change: 'changed', added: [B], removed: [A] },
      { path: 'digests["/d"]', change: 'added', added: [A] },
      { path: 'excludes', change: 'added', added: ['/x'] },
      { path: 'verification-keys', change: 'removed' },
    ])
    expect(comparePolicies('{"7":["aa"]}', '{"7":"aa","mask":"0x80"}')).toEqual([])
    expect(() => comparePolicies('[]', '{}')).toThrow(/not a JSON object/)
    expect(() => comparePolicies('x', '{}')).toThrow(/not valid JSON/)
  })

  test('of a policy and a log, the change heals exactly what can be healed', () => {
    const log = [
      BOOT_AGGREGATE,
      imaLine(`ima-ng sha256:${A} /usr/bin/new`),
      imaLine(`ima-ng sha256:${A} /usr/bin/new`),
      'rubbish',
      '',
    ].join('\n')
    const compared = compareLog(parseRuntimePolicy(runtimePolicy()), log.split('\n'))
    expect(compared).toMatchObject({
      failures: [
        { eventId: 'ima.validation.ima-ng.not_in_allowlist', context: { path: '/usr/bin/new', line: 2 } },
        { eventId: 'ima.parser.entry' },
      ],
      accept: { digests: { '/usr/bin/new': [A] } },
      hopeless: 1,
    })
    const healed = parseRuntimePolicy(JSON.stringify(merge(runtimePolicy(), compared.accept)))
    expect(compareLog(healed, log.split('\n')).failures.map((f) => f.eventId)).toEqual(['ima.parser.entry'])
    expect(compareLog(healed, [BOOT_AGGREGATE])).toEqual({ failures: [], accept: null, logHash: null, settings: [], hopeless: 0 })
  })
})
