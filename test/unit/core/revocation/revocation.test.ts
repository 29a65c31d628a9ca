import { createHash, generateKeyPairSync } from 'node:crypto'
import { pythonJson } from '../../../../src/core/python/python-json.ts'
import { ACTION_PREFIX, parseActionList } from '../../../../src/core/revocation/action-list.ts'
import {
  asctime,
  leastAge,
  parseMetaData,
  parseRevocationMessage,
  revocationMessage,
  revokedSerial,
} from '../../../../src/core/revocation/message.ts'
import { signRevocation, verifyNotice, verifyRevocation } from '../../../../src/core/revocation/signature.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'

const facts = {
  type: 'revocation',
  ip: '10.0.0.7',
  agentId: 'a1',
  port: 9002,
  tpmPolicy: '{"mask": "0x0"}',
  metaData: '{"cert_serial": 2, "subject": "CN=a1"}',
  eventTime: new Date(2026, 10, 3, 5, 7, 9),
  eventId: 'ima.pcr_mismatch',
  severityLabel: 'emergency',
  context: '{"message": "ä"}',
} as const
const { publicKey, privateKey } = rsaKeyPair()

test('the message is byte for byte what Python’s json.dumps gives', () =>
  expect(revocationMessage(facts)).toBe(
    '{"type": "revocation", "ip": "10.0.0.7", "agent_id": "a1", "port": 9002, "tpm_policy": "{\\"mask\\": \\"0x0\\"}", "meta_data": "{\\"cert_serial\\": 2, \\"subject\\": \\"CN=a1\\"}", "event_time": "Tue Nov  3 05:07:09 2026", "event_id": "ima.pcr_mismatch", "severity_label": "emergency", "context": "{\\"message\\": \\"\\u00e4\\"}"}',
  ))
const MAX_MESSAGE = 32 << 10
test.each([
  ['facts', { context: JSON.stringify({ message: 'x'.repeat(1 << 20) }) }, { meta_data: facts.metaData, tpm_policy: facts.tpmPolicy }],
  ['a policy', { tpmPolicy: `{"mask": "0x0"${' '.repeat(65_000)}}` }, { meta_data: facts.metaData, tpm_policy: '{}' }],
  ['metadata', { metaData: `{"cert_serial": 2, "a": "${'a'.repeat(60_000)}"}` }, { meta_data: '{"cert_serial":2}' }],
  ['metadata without a serial', { metaData: `{"a": "${'ä'.repeat(60_000)}"}` }, { meta_data: '{}' }],
  [
    'the largest serial that is a number',
    { metaData: `{"cert_serial": "9007199254740991", "a": "${'a'.repeat(60_000)}"}` },
    { meta_data: '{"cert_serial":9007199254740991}' },
  ],
  [
    'the first serial that is none',
    { metaData: `{"cert_serial": "9007199254740992", "a": "${'a'.repeat(60_000)}"}` },
    { meta_data: '{"cert_serial":"9007199254740992"}' },
  ],
  [
    'a large serial',
    { metaData: `{"cert_serial": "${'9'.repeat(40)}", "a": "${'a'.repeat(60_000)}"}` },
    { meta_data: `{"cert_serial":"${'9'.repeat(40)}"}` },
  ],
])('a message with %s too long for receivers goes without them, and says whom to revoke', (_name, changes, kept) => {
  const message = revocationMessage({ ...facts, ...changes })
  expect(message.length).toBeLessThanOrEqual(MAX_MESSAGE)
  expect(JSON.parse(message)).toMatchObject({ agent_id: 'a1', event_id: facts.eventId, type: 'revocation', ...kept })
})
test('asctime pads the day with a blank', () => expect(asctime(new Date(2026, 10, 23, 15, 27, 46))).toBe('Mon Nov 23 15:27:46 2026'))
test('asctime names the days and months of C', () => {
  const days = Array.from({ length: 7 }, (_, i) => asctime(new Date(2026, 10, 22 + i)).slice(0, 3))
  const months = Array.from({ length: 12 }, (_, month) => asctime(new Date(2026, month, 1)).slice(4, 7))
  expect(days.join(' ')).toBe('Sun Mon Tue Wed Thu Fri Sat')
  expect(months.join(' ')).toBe('Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec')
})
test('pythonJson escapes what Python escapes', () =>
  expect(pythonJson({ a: ['é\u007f😀', null, true, 1.5] })).toBe('{"a": ["\\u00e9\\u007f\\ud83d\\ude00", null, true, 1.5]}'))

test('a signed message verifies and gives its facts', () => {
  const text = revocationMessage(facts)
  const revocation = verifyRevocation(publicKey, text, signRevocation(privateKey, text))
  expect(revocation.message).toMatchObject({ type: 'revocation', agent_id: 'a1' })
  expect(revokedSerial(revocation.message)).toBe(2n)
  expect(Buffer.from(signRevocation(privateKey, text), 'base64').length).toBe(256)
  expect(revocation.digest).toBe(createHash('sha256').update(text).digest('hex'))
})

const text = revocationMessage(facts)
const signature = signRevocation(privateKey, text)
test.each([
  ['changed text', text.replace('a1', 'a2'), signature],
  ['text with a blank more', `${text} `, signature],
  ['no signature', text, ''],
  ['the word none', text, 'none'],
  ['a truncated signature', text, signature.slice(0, -8)],
  ['another key', text, signRevocation(rsaKeyPair().privateKey, text)],
  ['oversized text', 'x'.repeat(2 << 20), signature],
])('a notification with %s is refused', (_name, changed, given) =>
  expect(() => verifyRevocation(publicKey, changed, given)).toThrow(/not signed|does not hold|characters/),
)
test('a signed text that is no message is malformed', () =>
  expect(() => verifyRevocation(publicKey, '{}', signRevocation(privateKey, '{}'))).toThrow(/lacks type/))

test.each([
  ['{"cert_serial": 7}', 7n],
  ['{"cert_serial": "7"}', 7n],
  ['{"cert_serial": -1}', null],
  ['{"cert_serial": 1.5}', null],
  ['{"cert_serial": "7; rm"}', null],
  ['{}', null],
  ['null', null],
  ['[', null],
])('serial of meta_data %s', (metaData, serial) =>
  expect(revokedSerial(parseRevocationMessage(revocationMessage({ ...facts, metaData })))).toBe(serial),
)

test.each([
  ['local_action_a,local_action_b', ['local_action_a', 'local_action_b'], []],
  ['local_action_a, local_action_b\nlocal_action_c\n', ['local_action_a', 'local_action_b', 'local_action_c'], []],
  ['[local_action_a "local_action_b" \'c\']', ['local_action_a', 'local_action_b', 'c'], []],
  ['a,a,b', ['a', 'b'], []],
  ['../evil,/bin/sh,ok,-x,a/b', ['ok'], ['../evil', '/bin/sh', '-x', 'a/b']],
  ["a'b c]d ['e]'f ]g h[", [], ["a'b", 'c]d', "e]'f", ']g', 'h[']],
  ["'a' \"b\" ['c'] ", ['a', 'b', 'c'], []],
  ['', [], []],
  [' [ ] ', [], []],
])('action list %j', (list, names, refused) => expect(parseActionList(list)).toEqual({ names, refused }))
test('of a list that is too long the first 256 names count', () => {
  const names = Array.from({ length: 300 }, (_, i) => `a${i}`)
  expect(parseActionList(names.join()).names).toEqual(names.slice(0, 256))
})
test('a name has 128 characters at most', () => {
  expect(parseActionList(`${'a'.repeat(128)} ${'b'.repeat(129)}`)).toEqual({ names: ['a'.repeat(128)], refused: ['b'.repeat(129)] })
})
test('actions of a payload have the prefix that upstream’s have', () => expect(ACTION_PREFIX).toBe('local_action_'))
test('the largest message that receivers take is kept as it is, one more character is not', () => {
  const room = MAX_MESSAGE - revocationMessage({ ...facts, context: '' }).length
  const fits = 'x'.repeat(room)
  expect(JSON.parse(revocationMessage({ ...facts, context: fits })).context).toBe(fits)
  expect(JSON.parse(revocationMessage({ ...facts, context: `${fits}x` })).context).toContain('too long for a notification')
})

describe('a notice', () => {
  const verifier = rsaKeyPair()
  const stranger = rsaKeyPair()
  const [byPayload, byVerifier, byStranger] = [privateKey, verifier.privateKey, stranger.privateKey].map((key) =>
    signRevocation(key, text),
  ) as [string, string, string]
  const both = { payload: publicKey, verifier: verifier.publicKey }
  const only = {
    payload: { payload: publicKey, verifier: null },
    verifier: { payload: null, verifier: verifier.publicKey },
    none: { payload: null, verifier: null },
  }
  const outcome = (keys: Parameters<typeof verifyNotice>[0], signature: string, verifierSignature?: string) => {
    try {
      return verifyNotice(keys, { msg: text, signature, verifierSignature }) === null ? 'later' : 'holds'
    } catch (error) {
      const { code, message } = error as { code: string; message: string }
      return `${code}: ${message}`
    }
  }
  const WRONG = 'refused: the signature of the notification does not hold'
  const UNKNOWN = 'refused: no known key matches a signature of the notification'
  const UNSIGNED = 'refused: the notification is not signed'
  test.each<[string, Parameters<typeof outcome>, string]>([
    ['the key of the payload', [both, byPayload], 'holds'],
    ['the key of the payload alone', [only.payload, byPayload], 'holds'],
    ['the verifier’s key, beside that of an enrolment', [only.verifier, byPayload, byVerifier], 'holds'],
    ['the verifier’s key, in the place of that of an enrolment', [both, byVerifier], 'holds'],
    ['one of two', [both, byStranger, byVerifier], 'holds'],
    ['the other of two', [both, byPayload, byStranger], 'holds'],
    ['the verifier’s key alone', [both, '', byVerifier], 'holds'],
    ['a stranger’s key', [both, byStranger], WRONG],
    ['a stranger’s key twice', [both, byStranger, byStranger], WRONG],
    ['a stranger’s, where only the payload’s is known', [only.payload, byStranger], WRONG],
    ['a key that may come with the payload', [only.verifier, byPayload], 'later'],
    ['a key that may come, where none is known', [only.none, byPayload], 'later'],
    ['two keys that may come', [only.none, byPayload, byVerifier], 'later'],
    ['a stranger’s as the verifier’s, who is known', [only.verifier, byPayload, byStranger], WRONG],
    ['the verifier’s, who is not known', [only.payload, '', byVerifier], UNKNOWN],
    ['nothing', [both, ''], UNSIGNED],
    ['the word none', [both, 'none', 'none'], UNSIGNED],
  ])('that is signed by %s', (_what, given, expected) => expect(outcome(...given)).toBe(expected))

  test('has a million characters at most', () => {
    const long = JSON.stringify({ type: 't', agent_id: 'a', context: '' })
    const fits = long.replace('""', `"${'x'.repeat((1 << 20) - long.length)}"`)
    expect(verifyRevocation(publicKey, fits, signRevocation(privateKey, fits)).text).toHaveLength(1 << 20)
    expect(() => verifyRevocation(publicKey, `${fits} `, signRevocation(privateKey, `${fits} `))).toThrow('has 1048577 characters')
  })
})

test('a message is at least as old as it would be in the earliest zone of all, and never younger than new', () => {
  const at = (event_time: string | null) =>
    ({ type: 't', agent_id: 'a', meta_data: '{}', event_time }) as ReturnType<typeof parseRevocationMessage>
  const then = Date.UTC(2026, 10, 3, 5, 7, 9)
  const hour = 3_600_000
  expect(leastAge(at('Tue Nov  3 05:07:09 2026'), then + 20 * hour)).toBe(6 * hour)
  expect(leastAge(at('Tue Nov  3 05:07:09 2026'), then + 14 * hour)).toBe(0)
  expect(leastAge(at('Tue Nov  3 05:07:09 2026'), then - hour)).toBe(0)
  for (const odd of [null, '', 'yesterday', 'Tue Nox  3 05:07:09 2026', 'xTue Nov  3 05:07:09 2026', 'Tue Nov  3 05:07:09 2026x'])
    expect(leastAge(at(odd), then)).toBeNull()
})

test('a message that is no JSON, or lacks what it must have, is malformed; without metadata it has none', () => {
  expect(() => parseRevocationMessage('{')).toThrow(
    expect.objectContaining({ code: 'malformed', message: 'the revocation message cannot be read' }),
  )
  expect(() => parseRevocationMessage('{"agent_id":"a"}')).toThrow(expect.objectContaining({ code: 'malformed' }))
  expect(parseRevocationMessage('{"type":"t","agent_id":"a"}').meta_data).toBe('{}')
})

test.each([
  ['{"cert_serial": 0}', null],
  ['{"cert_serial": 1}', 1n],
  ['{"cert_serial": 9007199254740991}', 9007199254740991n],
  ['{"cert_serial": 9007199254740992}', null],
  [`{"cert_serial": "${'9'.repeat(49)}"}`, BigInt('9'.repeat(49))],
  [`{"cert_serial": "${'9'.repeat(50)}"}`, null],
  ['{"cert_serial": "x7"}', null],
  ['{"cert_serial": "7x"}', null],
])('of metadata %s the serial is %p', (meta_data, serial) => {
  expect(revokedSerial({ type: 't', agent_id: 'a', meta_data } as ReturnType<typeof parseRevocationMessage>)).toBe(serial)
})

test('metadata may have 65536 values, may be nested 64 deep, and a refusal names them', () => {
  const values = (count: number) =>
    `[${Array(count - 1)
      .fill('1')
      .join()}]`
  expect(parseMetaData(values(65_536))).toHaveLength(65_535)
  expect(() => parseMetaData(values(65_537))).toThrow(/meta_data/)
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  expect(parseMetaData(nested(64))).toBeTruthy()
  expect(() => parseMetaData(nested(65))).toThrow(/meta_data/)
})

test.each<[string, Parameters<typeof verifyRevocation>, string]>([
  ['no signature', [publicKey, text, ''], 'the notification is not signed'],
  [
    'a key that is not RSA',
    [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey, text, signature],
    'the notifier’s key is not RSA',
  ],
  ['a signature of another text', [publicKey, `${text} `, signature], 'the signature of the notification does not hold'],
  ['too long a text', [publicKey, 'x'.repeat(2 << 20), signature], 'the notification has 2097152 characters'],
])('a revocation with %s is refused, by that code', (_what, given, message) => {
  expect(() => verifyRevocation(...given)).toThrow(expect.objectContaining({ code: 'refused', message }))
})
