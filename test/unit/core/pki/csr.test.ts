import { sign } from 'node:crypto'
import { parseSigningRequest } from '../../../../src/core/pki/csr.ts'
import { sameKey } from '../../../../src/core/pki/keys.ts'
import { der, ecPair, extension, oid, twoPartName, utf8 } from './fixtures.ts'

const pair = ecPair()
const ECDSA = Buffer.from('300a06082a8648ce3d040302', 'hex')

/** A request put together byte by byte: what OpenSSL and others make of it differs in its attributes. */
function requestWith(
  attributes: Buffer[] | null,
  changes: { spki?: Buffer; algorithm?: Buffer; key?: typeof pair.privateKey } = {},
): Buffer {
  const { spki = pair.publicKey.export({ format: 'der', type: 'spki' }), algorithm = ECDSA, key = pair.privateKey } = changes
  const info = der(0x30, Buffer.from('020100', 'hex'), twoPartName('web', false), spki, ...(attributes ? [der(0xa0, ...attributes)] : []))
  return der(0x30, info, algorithm, der(0x03, Buffer.from([0]), sign('sha256', info, key)))
}

const password = der(0x30, oid('2a864886f70d010907'), der(0x31, utf8('secret')))
const demand = (...extensions: Buffer[]) => der(0x30, oid('2a864886f70d01090e'), der(0x31, der(0x30, ...extensions)))
const names = extension('551d11', false, der(0x30, der(0x82, Buffer.from('web.example'))))
const usage = extension('551d0f', true, Buffer.from('03020106', 'hex'))
const NAMED = [{ type: 'dns', value: 'web.example' }]

test.each<[string, Buffer[] | null, unknown]>([
  ['names', [demand(names)], NAMED],
  ['names that must be understood', [demand(extension('551d11', true, der(0x30, der(0x82, Buffer.from('web.example')))))], NAMED],
  ['names behind another extension', [demand(usage, names)], NAMED],
  ['names behind another attribute', [password, demand(names)], NAMED],
  ['another attribute only', [password], []],
  ['another extension only', [demand(usage)], []],
  ['an attribute without values', [der(0x30, oid('2a864886f70d01090e')), demand(names)], NAMED],
  ['an empty attribute', [der(0x30), demand(names)], NAMED],
  ['an extension without a value', [demand(der(0x30, oid('551d11')), names)], NAMED],
  ['no attributes', [], []],
  ['no list of attributes', null, []],
])('a request with %s asks for the names that it has', (_what, attributes, alternativeNames) => {
  const request = parseSigningRequest(requestWith(attributes))
  expect(request).toMatchObject({ subject: '2.5.4.5=42+CN=web', alternativeNames })
  expect(sameKey(request.publicKey, pair.publicKey)).toBe(true)
})

const unknownKey = der(0x30, der(0x30, oid('2a0304')), der(0x03, Buffer.from([0, 1])))
const pemOf = (bytes: Buffer, label: string) => `-----BEGIN ${label}-----\n${bytes.toString('base64')}\n-----END ${label}-----\n`
test.each<[string, string | Buffer, string]>([
  ['an empty file', Buffer.alloc(0), 'the file holds no certificate signing request'],
  ['an empty text', '', 'the file holds no certificate signing request'],
  ['PEM of a certificate', Buffer.from(pemOf(requestWith([]), 'CERTIFICATE')), 'the file holds no certificate signing request'],
  ['a signature of another key', requestWith([], { key: ecPair().privateKey }), 'the signing request is not signed by its own key'],
  [
    'an algorithm that does not count',
    requestWith([], { algorithm: der(0x30, oid('2a0304')) }),
    'the signing request is not signed by its own key',
  ],
  ['a key of an unknown kind', requestWith([], { spki: unknownKey }), 'the public key of the request is of an unknown kind'],
])('%s is malformed', (_what, input, message) => {
  expect(() => parseSigningRequest(input)).toThrow(expect.objectContaining({ code: 'malformed', message }))
})

test.each(['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'])('a request may come as PEM of a %s', (label) => {
  const text = pemOf(requestWith([demand(names)]), label)
  for (const form of [text, Buffer.from(text)]) expect(parseSigningRequest(form).alternativeNames).toEqual(NAMED)
})
