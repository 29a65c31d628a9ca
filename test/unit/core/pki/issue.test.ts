import { X509Certificate } from 'node:crypto'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { isSignedBy } from '../../../../src/core/pki/chain.ts'
import { parseSigningRequest } from '../../../../src/core/pki/csr.ts'
import { basicConstraintsOf, EXTENSION, hasKeyUsage, KEY_USAGE } from '../../../../src/core/pki/extensions.ts'
import { hostName, issueCertificate, makeAuthority, makeBridge, makeSelfSigned } from '../../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem, readPrivateKey, sameKey } from '../../../../src/core/pki/keys.ts'
import { signerOf, x509 } from '../../../../src/core/pki/library.ts'
import { attributeOf, formatName, upstreamSubject } from '../../../../src/core/pki/names.ts'
import { GIVES_ROLES, isBridge, SUCCESSOR } from '../../../../src/core/pki/roles.ts'
import { alternativeNames, otherNames } from '../../../../src/core/pki/subject-alternative-names.ts'
import { DAY, der, ecPair, extension, handMade, leaf, NOW, oid, root, rsaPair, twoPartName } from './fixtures.ts'

const fields = { country: 'US', state: 'MA', locality: 'Lexington', organization: 'Keylime', organizationUnit: '53' }

test('an authority has the name order and the extensions of upstream’s', async () => {
  const pair = rsaPair()
  const certificate = await makeAuthority({
    subject: upstreamSubject('CA', fields),
    ...pair,
    serial: 1n,
    notBefore: NOW,
    notAfter: NOW + DAY,
    crlUrl: 'http://x/crl',
    givesRoles: false,
  })
  expect(certificate.subjectName.rdns.flat().map(({ oid }) => oid)).toEqual([
    '2.5.4.6',
    '2.5.4.3',
    '2.5.4.8',
    '2.5.4.7',
    '2.5.4.10',
    '2.5.4.11',
  ])
  expect(certificate.subject).toBe('OU=53,O=Keylime,L=Lexington,ST=MA,CN=CA,C=US')
  expect(basicConstraintsOf(certificate)).toEqual({ ca: true, pathLength: undefined })
  expect([KEY_USAGE.keyCertSign, KEY_USAGE.crlSign, KEY_USAGE.digitalSignature].map((bit) => hasKeyUsage(certificate, bit))).toEqual([
    true,
    true,
    false,
  ])
  expect([...certificate.extensions.keys()]).toEqual([
    EXTENSION.basicConstraints,
    EXTENSION.subjectKeyIdentifier,
    EXTENSION.crlDistributionPoints,
    EXTENSION.keyUsage,
    EXTENSION.authorityKeyIdentifier,
  ])
  expect(certificate.strict).toBe(true)
})

test('an issued certificate serves as server and client', async () => {
  const authority = await root('CA')
  const certificate = await issueCertificate(authority, {
    subject: upstreamSubject('agent', fields),
    publicKey: ecPair().publicKey,
    serial: 300n,
    notBefore: NOW,
    notAfter: NOW + DAY,
    alternativeNames: [hostName('a.example'), hostName('10.0.0.1'), hostName('[::1]')],
    crlUrl: 'http://x/crl',
  })
  expect(new X509Certificate(certificate.der).subjectAltName).toBe('DNS:a.example, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  expect(alternativeNames(certificate)).toEqual([
    { type: 'dns', value: 'a.example' },
    { type: 'ip', value: '10.0.0.1' },
    { type: 'ip', value: '0:0:0:0:0:0:0:1' },
  ])
  expect(certificate).toMatchObject({ serial: 300n, notBefore: NOW, notAfter: NOW + DAY })
  expect(hasKeyUsage(certificate, KEY_USAGE.digitalSignature)).toBeUndefined()
  expect(basicConstraintsOf(certificate)).toBeUndefined()
})

test('serials that cannot be are refused, and an authority does not outlive itself', async () => {
  const authority = await root('CA')
  const request = {
    subject: [],
    publicKey: authority.certificate.publicKey,
    notBefore: NOW,
    notAfter: NOW + DAY,
    alternativeNames: [],
    crlUrl: '',
  }
  for (const serial of [0n, -1n, 2n ** 159n, 2n ** 160n])
    await expect(issueCertificate(authority, { ...request, serial })).rejects.toMatchObject({ code: 'malformed' })
  await expect(issueCertificate(authority, { ...request, serial: 2n, notBefore: NOW + 20 * DAY })).rejects.toMatchObject({
    code: 'refused',
  })
})

test('an agent’s certificate vouches for itself and names its address', async () => {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const certificate = await makeSelfSigned({
    commonName: 'id',
    ...pair,
    serial: 99n,
    notBefore: NOW,
    notAfter: NOW + DAY,
    alternativeNames: [hostName('192.0.2.1')],
  })
  expect(new X509Certificate(certificate.pem).verify(pair.publicKey)).toBe(true)
  expect(certificate.subject).toBe('CN=id')
})

test('keys: both kinds are made, a password protects, a wrong one is told', async () => {
  const rsa = await makeKeyPair({ type: 'rsa', bits: 2048 })
  expect(rsa.privateKey.asymmetricKeyDetails).toMatchObject({ modulusLength: 2048, publicExponent: 65_537n })
  const pem = privateKeyPem(rsa.privateKey, 'pw')
  expect(pem).toContain('ENCRYPTED PRIVATE KEY')
  expect(privateKeyPem(readPrivateKey(pem, 'pw'))).toBe(privateKeyPem(rsa.privateKey))
  for (const password of ['', 'no'])
    expect(() => readPrivateKey(pem, password)).toThrow(expect.objectContaining({ code: 'wrong_password' }))
  expect(() => readPrivateKey('nothing')).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('comparing keys of different types leaves nothing behind that the next reading of a key would stumble over', async () => {
  const [rsa, ecdsa] = [await makeKeyPair({ type: 'rsa', bits: 2048 }), await makeKeyPair({ type: 'ecdsa' })]
  expect([sameKey(rsa.publicKey, ecdsa.publicKey), sameKey(ecdsa.publicKey, ecdsa.publicKey)]).toEqual([false, true])
  expect(readPrivateKey(privateKeyPem(ecdsa.privateKey)).asymmetricKeyType).toBe('ec')
})

test('names: RFC 4514 text escapes what it must, matching folds case and blanks', async () => {
  const rdns = [
    [{ oid: '2.5.4.3', value: ' a,b+c"\\<>;# ' }],
    [
      { oid: '2.5.4.10', value: '#x' },
      { oid: '1.2.3', value: 'y' },
    ],
  ]
  expect(formatName(rdns)).toBe('O=\\#x+1.2.3=y,CN=\\ a\\,b\\+c\\"\\\\\\<\\>\\;#\\ ')
  const [one, two] = [await root('Some  Root'), await root('some root')]
  expect(one.certificate.subjectName.matchKey).toBe(two.certificate.subjectName.matchKey)
  expect(attributeOf(one.certificate.subjectName, 'CN')).toBe('Some  Root')
})

test('a HardwareModuleName tells its kind of hardware', () => {
  const name = der(0xa0, oid('2b06010505070804'), der(0xa0, der(0x30, oid('6781050102'), der(4, Buffer.from('abc')))))
  const other = der(0xa0, oid('2a03'), der(0xa0, der(0x0c, Buffer.from('x'))))
  const bytes = handMade({
    subject: twoPartName('x', false),
    issuer: twoPartName('y', false),
    ...handKey(),
    extensions: [extension('551d11', false, der(0x30, name, other))],
  })
  expect(otherNames(parseCertificate(bytes))).toEqual([
    { type: '1.3.6.1.5.5.7.8.4', hardwareType: '2.23.133.1.2', serialNumber: Buffer.from('abc') },
    { type: '1.2.3' },
  ])
})

function handKey() {
  const { privateKey, publicKey } = ecPair()
  return { key: privateKey, publicKey }
}

describe('parseSigningRequest', () => {
  test('reads name, key and asked names, and checks that the asker holds the key', async () => {
    const pair = rsaPair()
    const { signingAlgorithm } = signerOf(pair.privateKey)
    const keys = {
      privateKey: pair.privateKey.toCryptoKey(signingAlgorithm, true, ['sign']),
      publicKey: pair.publicKey.toCryptoKey(signingAlgorithm, true, ['verify']),
    }
    const made = await x509.Pkcs10CertificateRequestGenerator.create({
      name: 'CN=web',
      keys: keys as never,
      signingAlgorithm,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'web.example' }])],
    })
    const der = Buffer.from(made.rawData)
    for (const form of [der, made.toString('pem'), Buffer.from(made.toString('pem'))]) {
      const request = parseSigningRequest(form)
      expect(request).toMatchObject({ subject: 'CN=web', alternativeNames: [{ type: 'dns', value: 'web.example' }] })
      expect(sameKey(request.publicKey, pair.publicKey)).toBe(true)
    }
    const forged = Buffer.from(der)
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    expect(() => parseSigningRequest(forged)).toThrow('not signed by its own key')
  })
  test('refuses what is none', async () => {
    for (const input of ['', 'x', (await root('CA')).certificate.pem, Buffer.from('3000', 'hex')]) {
      expect(() => parseSigningRequest(input)).toThrow(expect.objectContaining({ code: 'malformed' }))
    }
  })
})

test('a certificate with no names has none', async () => expect(otherNames(await leaf(await root('CA'), 'x'))).toEqual([]))

test('a certificate that vouches for itself may say that it is no authority, and whoever reads it must understand that', async () => {
  const pair = ecPair()
  const parts = { commonName: 'agent', ...pair, serial: 1n, notBefore: NOW, notAfter: NOW + DAY, alternativeNames: [] }
  const [bare, said] = [await makeSelfSigned(parts), await makeSelfSigned({ ...parts, endEntity: true })]
  expect(bare.extensions.has(EXTENSION.basicConstraints)).toBe(false)
  expect(basicConstraintsOf(said)).toEqual({ ca: false, pathLength: undefined })
  expect(said.extensions.get(EXTENSION.basicConstraints)?.critical).toBe(true)
})

test.each([1n, 0x7fn, 0x80n, 0xfffn, 0x1234n, 2n ** 64n + 1n, 2n ** 159n - 1n])('the serial %s is written as it is', async (serial) => {
  const certificate = await leaf(await root(), 'x', { serial })
  expect([certificate.serial, certificate.strict]).toEqual([serial, true])
  expect(BigInt(`0x${new X509Certificate(certificate.der).serialNumber}`)).toBe(serial)
})

test.each([true, false])(
  'a bridge says what it is: an authority of the next key, signed by the one before, which gives roles: %s',
  async (givesRoles) => {
    const [before, next] = [await root('Before'), ecPair()]
    const dates = { notBefore: NOW - DAY, notAfter: NOW + DAY }
    const request = {
      subject: [{ oid: '2.5.4.3', value: 'Next' }],
      publicKey: next.publicKey,
      serial: 9n,
      ...dates,
      crlUrl: '',
      givesRoles,
    }
    const bridge = await makeBridge(before, request)
    expect(isBridge(bridge)).toBe(true)
    expect(isSignedBy(bridge, before.certificate)).toBe(true)
    expect(alternativeNames(bridge)).toEqual([SUCCESSOR, ...(givesRoles ? [GIVES_ROLES] : [])].map((value) => ({ type: 'uri', value })))
    expect(basicConstraintsOf(bridge)).toEqual({ ca: true, pathLength: undefined })
    const usage = [KEY_USAGE.keyCertSign, KEY_USAGE.crlSign, KEY_USAGE.digitalSignature].map((bit) => hasKeyUsage(bridge, bit))
    expect(usage).toEqual([true, true, false])
    const critical = [...bridge.extensions].flatMap(([oid, extension]) => (extension.critical ? [oid] : []))
    expect(critical.sort()).toEqual([EXTENSION.basicConstraints, EXTENSION.keyUsage].sort())
    expect(new X509Certificate(bridge.pem).checkIssued(new X509Certificate(before.certificate.pem))).toBe(true)
  },
)

test.each([
  ['host.example', 'dns', 'host.example'],
  ['10.0.0.1', 'ip', '10.0.0.1'],
  ['10.0.0.1.example', 'dns', '10.0.0.1.example'],
  ['x10.0.0.1', 'dns', 'x10.0.0.1'],
  ['[fe80::1]', 'ip', 'fe80::1'],
  ['fe80::1%eth0', 'ip', 'fe80::1'],
  ['a[b]c', 'dns', 'a[b]c'],
])('the host %s is a name of type %s: %s', (text, type, value) => {
  expect(hostName(text)).toEqual({ type, value })
})

test('a subject that is given as it is stays byte for byte, also one that nobody here would write so', async () => {
  const subject = twoPartName('Odd', true)
  const pair = ecPair()
  const dates = { notBefore: NOW - DAY, notAfter: NOW + DAY }
  const certificate = await makeAuthority({ subject, ...pair, serial: 1n, ...dates, crlUrl: '', givesRoles: false })
  expect([certificate.subjectName.der, certificate.issuerName.der]).toEqual([subject, subject])
})

test.each([0, 1, 2])('a certificate for %d names has as many', async (count) => {
  const names = ['a.example', 'b.example'].slice(0, count).map(hostName)
  const authority = await root()
  const request = { subject: [], publicKey: ecPair().publicKey, serial: 2n, notBefore: NOW, notAfter: NOW + DAY, crlUrl: '' }
  const certificate = await issueCertificate(authority, { ...request, alternativeNames: names })
  expect([alternativeNames(certificate), certificate.extensions.has(EXTENSION.subjectAlternativeName)]).toEqual([names, count > 0])
})
