import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { readElement } from '../../../../src/core/pki/der.ts'
import { derOid } from '../../../../src/core/pki/der-writer.ts'
import {
  basicConstraintsOf,
  certificatePoliciesOf,
  crlAddressesOf,
  EXTENSION,
  extendedKeyUsageOf,
  hasKeyUsage,
  KEY_USAGE,
} from '../../../../src/core/pki/extensions.ts'
import { hostName, issueCertificate, makeSelfSigned } from '../../../../src/core/pki/issue.ts'
import { privateKeyPem, readPrivateKey } from '../../../../src/core/pki/keys.ts'
import { signerOf } from '../../../../src/core/pki/library.ts'
import { GIVES_ROLES, ROLES, roleName, roleOf, whyNoServer } from '../../../../src/core/pki/roles.ts'
import { hashOf, parseSignatureAlgorithm } from '../../../../src/core/pki/signature-algorithm.ts'
import { alternativeNames } from '../../../../src/core/pki/subject-alternative-names.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { DAY, der, ecPair, extension, handMade, leaf, NOW, root } from './fixtures.ts'

const pair = ecPair()
const ID = {
  keyUsage: '551d0f',
  alternativeNames: '551d11',
  basicConstraints: '551d13',
  crl: '551d1f',
  policies: '551d20',
  extendedUsage: '551d25',
}
/** A certificate with one extension; without a value none. */
const withExtension = (id: keyof typeof ID, value?: Buffer) => {
  const extensions = value ? [extension(ID[id], false, value)] : []
  return parseCertificate(handMade({ subject: der(0x30), issuer: der(0x30), key: pair.privateKey, publicKey: pair.publicKey, extensions }))
}
const hex = (text: string) => Buffer.from(text, 'hex')

test('each use of a key has a bit of its own', () => {
  const bits: [keyof typeof KEY_USAGE, string][] = [
    ['digitalSignature', '80'],
    ['keyEncipherment', '20'],
    ['dataEncipherment', '10'],
    ['keyAgreement', '08'],
    ['keyCertSign', '04'],
    ['crlSign', '02'],
  ]
  for (const [use, byte] of bits) {
    const certificate = withExtension('keyUsage', der(0x03, hex(`00${byte}`)))
    expect(bits.filter(([other]) => hasKeyUsage(certificate, KEY_USAGE[other])).map(([other]) => other)).toEqual([use])
  }
  expect(hasKeyUsage(withExtension('keyUsage', der(0x03, hex('0000'))), 8)).toBe(false)
  expect(hasKeyUsage(withExtension('keyUsage', der(0x03, hex('070080'))), 8)).toBe(true)
  expect(hasKeyUsage(withExtension('keyUsage'), 0)).toBeUndefined()
})

test.each<[string, string | undefined, unknown]>([
  ['nothing', undefined, undefined],
  ['an empty one', '3000', { ca: false, pathLength: undefined }],
  ['an authority', '30030101ff', { ca: true, pathLength: undefined }],
  ['an authority in BER', '3003010101', { ca: true, pathLength: undefined }],
  ['no authority', '3003010100', { ca: false, pathLength: undefined }],
  ['an authority of a path', '30060101ff020102', { ca: true, pathLength: 2 }],
  ['a path alone', '3003020103', { ca: false, pathLength: 3 }],
])('of basic constraints, %s is read', (_what, value, expected) => {
  expect(basicConstraintsOf(withExtension('basicConstraints', value === undefined ? undefined : hex(value)))).toEqual(expected)
})

test('uses and policies are lists of OIDs; who names none is told apart', () => {
  const [one, two] = [derOid('1.2.3'), derOid('1.2.4')]
  expect(extendedKeyUsageOf(withExtension('extendedUsage', der(0x30, one, two)))).toEqual(['1.2.3', '1.2.4'])
  expect(extendedKeyUsageOf(withExtension('extendedUsage'))).toBeUndefined()
  expect(certificatePoliciesOf(withExtension('policies', der(0x30, der(0x30, one, der(0x30)), der(0x30, two))))).toEqual(['1.2.3', '1.2.4'])
  expect(certificatePoliciesOf(withExtension('policies'))).toEqual([])
  expect(() => certificatePoliciesOf(withExtension('policies', der(0x30, der(0x30))))).toThrow('a policy is missing')
})

test('addresses of revocation lists are the URLs of full names', () => {
  const url = (text: string) => der(0x86, Buffer.from(text))
  const point = (...names: Buffer[]) => der(0x30, der(0xa0, der(0xa0, ...names)))
  const relative = der(0x30, der(0xa0, der(0xa1, url('http://relative'))))
  const issuer = der(0x30, der(0xa2, der(0xa0, url('http://issuer'))))
  const directory = der(0xa4, der(0x30))
  const value = der(0x30, point(url('http://a'), directory, url('http://b')), relative, issuer, point(url('ldap://c')))
  expect(crlAddressesOf(withExtension('crl', value))).toEqual(['http://a', 'http://b', 'ldap://c'])
  expect(crlAddressesOf(withExtension('crl'))).toEqual([])
})

test('alternative names are read by their kind', () => {
  const names = [
    der(0x81, Buffer.from('a@b')),
    der(0x82, Buffer.from('a.example')),
    der(0x86, Buffer.from('urn:a')),
    der(0x87, hex('0a000001')),
    der(0x87, hex('20010db8000000000000000000000001')),
    der(0x88, hex('2a03')),
    der(0xa4, der(0x30)),
    der(0xa0, derOid('1.2.3'), der(0xa0, der(0x0c, Buffer.from('x')))),
    der(0xa0, derOid('1.2.4')),
    der(0xa0),
  ]
  expect(alternativeNames(withExtension('alternativeNames', der(0x30, ...names)))).toMatchObject([
    { type: 'email', value: 'a@b' },
    { type: 'dns', value: 'a.example' },
    { type: 'uri', value: 'urn:a' },
    { type: 'ip', value: '10.0.0.1' },
    { type: 'ip', value: '2001:db8:0:0:0:0:0:1' },
    { type: 'directory', name: { rdns: [] } },
    { type: 'other', oid: '1.2.3', value: { tag: 0x0c } },
    { type: 'other', oid: '1.2.4', value: undefined },
  ])
  expect(alternativeNames(withExtension('alternativeNames'))).toEqual([])
})

test.each([
  ['10.0.0.1', 'ip', '10.0.0.1'],
  ['255.255.255.255', 'ip', '255.255.255.255'],
  ['[::1]', 'ip', '::1'],
  ['::1', 'ip', '::1'],
  ['fe80::1%eth0', 'ip', 'fe80::1'],
  ['[fe80::1%eth0]', 'ip', 'fe80::1'],
  ['a.example', 'dns', 'a.example'],
  ['10.0.0.1.example', 'dns', '10.0.0.1.example'],
  ['x10.0.0.1', 'dns', 'x10.0.0.1'],
  ['10.0.0', 'dns', '10.0.0'],
  ['1000.0.0.1', 'dns', '1000.0.0.1'],
])('the host %s is a name of type %s', (text, type, value) => expect(hostName(text)).toEqual({ type, value }))

test('countries, serial numbers and qualifiers are PrintableStrings, all else is UTF-8', async () => {
  const subject = ['2.5.4.6', '2.5.4.5', '2.5.4.46', '2.5.4.3'].map((oid) => ({ oid, value: 'DE' }))
  const request = { subject, publicKey: pair.publicKey, serial: 5n, notBefore: NOW, notAfter: NOW + DAY, alternativeNames: [], crlUrl: '' }
  const { subjectName } = await issueCertificate(await root(), request)
  const written = (oid: string, tag: number) => subjectName.der.includes(der(0x30, derOid(oid), der(tag, Buffer.from('DE'))))
  expect([written('2.5.4.6', 0x13), written('2.5.4.5', 0x13), written('2.5.4.46', 0x13), written('2.5.4.3', 0x0c)]).toEqual(
    Array(4).fill(true),
  )
})

test('what must be understood in a certificate is marked so', async () => {
  const authority = await root()
  const [operator, server, plain] = [
    await leaf(authority, 'x', { role: 'operator' }),
    await leaf(authority, 'x', { role: 'server' }),
    await leaf(authority, 'x'),
  ]
  const critical = (certificate: typeof plain) => [...certificate.extensions].filter(([, { critical }]) => critical).map(([oid]) => oid)
  expect(critical(authority.certificate)).toEqual([EXTENSION.basicConstraints, EXTENSION.keyUsage])
  for (const certificate of [operator, server]) {
    expect(critical(certificate)).toEqual([EXTENSION.basicConstraints, EXTENSION.extendedKeyUsage])
    expect(basicConstraintsOf(certificate)).toEqual({ ca: false, pathLength: undefined })
  }
  expect([operator, server, plain].map(extendedKeyUsageOf)).toEqual([['1.3.6.1.5.5.7.3.2'], ['1.3.6.1.5.5.7.3.1'], undefined])
  expect([critical(plain), [operator, server, plain].map(roleOf)]).toEqual([[], ['operator', 'server', undefined]])
  expect(plain.extensions.get('2.16.840.1.113730.1.13')?.value.toString('latin1')).toBe('\x16\x0aSSL Server')
  expect(crlAddressesOf(authority.certificate)).toEqual(['http://localhost:38080/crl'])
  expect(crlAddressesOf(plain)).toEqual([])
  expect([GIVES_ROLES, ROLES]).toEqual(['urn:keylime:roles', ['operator', 'server', 'verifier']])
  expect([roleName('operator'), roleName('server')]).toEqual(['urn:keylime:role:operator', 'urn:keylime:role:server'])
})

test('a certificate without names has no extension for them', async () => {
  const made = await makeSelfSigned({ commonName: 'x', ...pair, serial: 1n, notBefore: NOW, notAfter: NOW + DAY, alternativeNames: [] })
  expect([...made.extensions.keys()]).toEqual([])
})

test('an authority that has ended issues nothing, and says what to do', async () => {
  const authority = await root('Old', { notAfter: NOW })
  await expect(leaf(authority, 'x', { notBefore: NOW + 1000 })).rejects.toMatchObject({
    code: 'refused',
    message: 'the authority "CN=Old" ended on 2026-06-01',
    hint: 'make the next one with `keylime ca rotate`',
  })
  expect((await leaf(authority, 'x', { notBefore: NOW })).notBefore).toBe(NOW)
})

test('where the authority gives roles, a server needs one, and the refusal names the certificate', async () => {
  const [ours, theirs] = [await root('Ours'), await root('Theirs', { givesRoles: false })]
  const all = [theirs.certificate, ours.certificate]
  const refused = 'its certificate "CN=x" is not a server’s'
  expect(whyNoServer(await leaf(ours, 'x', { role: 'server' }), all)).toBeUndefined()
  expect(whyNoServer(await leaf(ours, 'x', { role: 'operator' }), all)).toBe(refused)
  expect(whyNoServer(await leaf(ours, 'x'), all)).toBe(refused)
  expect(whyNoServer(await leaf(theirs, 'x'), all)).toBeUndefined()
  expect(whyNoServer(await leaf(ours, 'x'), [theirs.certificate])).toBeUndefined()
})

test.each<[string, KeyObject, object]>([
  ['RSA', rsaKeyPair().privateKey, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }],
  ['P-256', pair.privateKey, { name: 'ECDSA', hash: 'SHA-256' }],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey, { name: 'ECDSA', hash: 'SHA-384' }],
  ['P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey, { name: 'ECDSA', hash: 'SHA-512' }],
])('a key of %s signs with the hash that goes with it', async (_kind, key, algorithm) => {
  expect(signerOf(key).signingAlgorithm).toEqual(algorithm)
})

test.each([
  ['ed25519', generateKeyPairSync('ed25519').privateKey],
  ['ec', generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey],
])('a key of type %s that signs nothing here is refused', (type, key) => {
  expect(() => signerOf(key)).toThrow(
    expect.objectContaining({ code: 'malformed', message: `a key of type ${type} cannot sign certificates here` }),
  )
})

test.each([
  ['', 'the private key needs a password', 'wrong_password'],
  ['wrong', 'the password does not open the private key', 'wrong_password'],
])('a key that is encrypted, read with the password %j, says why it does not open', (password, message, code) => {
  const pem = privateKeyPem(pair.privateKey, 'right')
  expect(() => readPrivateKey(pem, password)).toThrow(expect.objectContaining({ code, message }))
  expect(() => readPrivateKey('-----BEGIN X-----', password)).toThrow(
    expect.objectContaining({ code: 'malformed', message: 'the private key cannot be read' }),
  )
})

test('an algorithm without a name is none', () => {
  expect(parseSignatureAlgorithm(readElement(der(0x30)))).toBeUndefined()
  expect([hashOf(undefined), hashOf(readElement(der(0x30)))]).toEqual(['sha1', undefined])
})
