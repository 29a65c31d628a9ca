import { createHash, generateKeyPairSync, verify } from 'node:crypto'
import fc from 'fast-check'
import { childrenOf, readBitString, readElement, readInteger, readOid, readTime } from '../../../../src/core/pki/der.ts'
import { derDefect } from '../../../../src/core/pki/der-defect.ts'
import { der, derInteger, derOctets, derOid, derSequence, derTime } from '../../../../src/core/pki/der-writer.ts'
import { answerOcsp, ocspError, parseOcspRequest } from '../../../../src/core/pki/ocsp.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { NOW, root } from './fixtures.ts'

const malformed = expect.objectContaining({ code: 'malformed' })
const sha1 = derSequence(derOid('1.3.14.3.2.26'), Buffer.from('0500', 'hex'))
const certId = (serial = 5n) => derSequence(sha1, derOctets(Buffer.alloc(20, 1)), derOctets(Buffer.alloc(20, 2)), derInteger(serial))
const request = (ids: Buffer[], ...more: Buffer[]) => derSequence(derSequence(derSequence(...ids.map((id) => derSequence(id))), ...more))
const nonce = (value: Buffer) => der(0xa2, derSequence(derSequence(derOid('1.3.6.1.5.5.7.48.1.2'), derOctets(value))))

test('what is written is strict DER and is read back', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 300n }), (value) => {
      const bytes = derInteger(value)
      expect([readInteger(readElement(bytes)), derDefect(bytes)]).toEqual([value, undefined])
    }),
  )
  for (const oid of ['1.3.6.1.5.5.7.48.1.2', '2.5.29.20', '1.2.840.113549.1.1.11', '2.16.840.1.101.3.4.2.1'])
    expect(readOid(readElement(derOid(oid)))).toBe(oid)
  expect(readTime(readElement(derTime(NOW)))).toBe(NOW)
  for (const length of [0, 127, 128, 255, 256, 70_000]) expect(derDefect(derOctets(Buffer.alloc(length)))).toBeUndefined()
})

test('a request is read: several certificates, version, requestor, nonce', () => {
  const plain = parseOcspRequest(request([certId(5n), certId(2n ** 100n)], nonce(Buffer.alloc(32, 9))))
  expect(plain.certificates.map(({ serial, hash }) => [serial, hash])).toEqual([
    [5n, 'sha1'],
    [2n ** 100n, 'sha1'],
  ])
  expect(plain.nonce).toEqual(Buffer.alloc(32, 9))
  const full = derSequence(
    derSequence(der(0xa0, derInteger(0n)), der(0xa1, derOctets(Buffer.from('me'))), derSequence(derSequence(certId()))),
  )
  expect(parseOcspRequest(full)).toMatchObject({ nonce: undefined, certificates: [{ serial: 5n }] })
})

test('64 certificates and a nonce of 130 bytes are read', () => {
  const ids = Array.from({ length: 64 }, (_, i) => certId(BigInt(i)))
  expect(parseOcspRequest(request(ids, nonce(Buffer.alloc(130)))).certificates.map(({ serial }) => Number(serial))).toEqual([
    ...Array(64).keys(),
  ])
  expect(parseOcspRequest(request(ids, nonce(Buffer.alloc(130)))).nonce).toHaveLength(130)
})

test.each([
  ['no certificate', request([])],
  ['65 certificates', request(Array.from({ length: 65 }, () => certId()))],
  ['bytes behind it', Buffer.concat([request([certId()]), Buffer.from([0])])],
  ['an empty nonce', request([certId()], nonce(Buffer.alloc(0)))],
  ['a nonce too long', request([certId()], nonce(Buffer.alloc(131)))],
])('%s is malformed', async (_, bytes) => {
  expect(() => parseOcspRequest(bytes)).toThrow(malformed)
  expect(answerOcsp(await root(), bytes, () => ({ kind: 'good' }), NOW)).toEqual(ocspError('malformedRequest'))
})

test('no bytes make it fail otherwise', async () => {
  const authority = await root()
  const right = request([certId()], nonce(Buffer.alloc(16, 9)))
  const damaged = fc.tuple(fc.nat(right.length - 1), fc.nat(255)).map(([at, value]) => {
    const copy = Buffer.from(right)
    copy[at] = value
    return copy
  })
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 200 }).map(Buffer.from)), (bytes) => {
      const [status] = childrenOf(readElement(answerOcsp(authority, bytes as Buffer, () => ({ kind: 'good' }), NOW)))
      expect([1, 6]).toContain(status!.content[0])
    }),
  )
})

test.each([
  ['rsa', rsaKeyPair(), '1.2.840.113549.1.1.11', 'sha256'],
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), '1.2.840.10045.4.3.2', 'sha256'],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }), '1.2.840.10045.4.3.3', 'sha384'],
  ['P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' }), '1.2.840.10045.4.3.4', 'sha512'],
])('an answer of an authority with a %s key is signed as it says', async (_kind, pair, algorithm, hash) => {
  const authority = { ...(await root('Signer')), key: pair.privateKey }
  const sha = (bytes: Buffer) => createHash('sha1').update(bytes).digest()
  const { subjectName, spki } = authority.certificate
  const id = derSequence(
    sha1,
    derOctets(sha(subjectName.der)),
    derOctets(sha(readBitString(childrenOf(readElement(spki))[1]))),
    derInteger(5n),
  )
  const answer = readElement(answerOcsp(authority, request([id]), () => ({ kind: 'good' }), NOW))
  const basic = childrenOf(childrenOf(childrenOf(answer)[1]!)[0]!)[1]!
  const [data, said, signature] = childrenOf(readElement(basic.content))
  expect(readOid(childrenOf(said!)[0]!)).toBe(algorithm)
  expect(verify(hash, data!.bytes, pair.publicKey, readBitString(signature))).toBe(true)
})

test.each([
  ['keyCompromise', 'a0030a0101'],
  ['superseded', 'a0030a0104'],
  ['unspecified', ''],
  [undefined, ''],
] as const)('a revocation for %s says so as RFC 6960 has it', async (reason, hex) => {
  const authority = await root()
  const sha = (bytes: Buffer) => createHash('sha1').update(bytes).digest()
  const { subjectName, spki } = authority.certificate
  const id = derSequence(
    sha1,
    derOctets(sha(subjectName.der)),
    derOctets(sha(readBitString(childrenOf(readElement(spki))[1]))),
    derInteger(5n),
  )
  const status = { kind: 'revoked', date: NOW, ...(reason ? { reason } : {}) } as const
  const answer = answerOcsp(authority, request([id]), () => status, NOW)
  expect(answer.includes(der(0xa1, derTime(NOW), Buffer.from(hex, 'hex')))).toBe(true)
})

test('whose certificate it is, name and key decide together, by a hash that is known', async () => {
  const [ours, namesake] = [await root('One'), await root('One')]
  const other = { ...(await root('Other')), key: ours.key }
  const idFor = (name: Buffer, spki: Buffer, [hash, oid] = ['sha1', '1.3.14.3.2.26'] as [string, string]) => {
    const digest = (bytes: Buffer) => derOctets(createHash(hash).update(bytes).digest())
    return derSequence(derSequence(derOid(oid)), digest(name), digest(readBitString(childrenOf(readElement(spki))[1])), derInteger(5n))
  }
  const statusOf = (id: Buffer) => {
    const answer = readElement(answerOcsp(ours, request([id]), () => ({ kind: 'good' }), NOW))
    return childrenOf(answer)[0]!.content[0] === 0 ? 'answered' : 'unauthorized'
  }
  const [name, spki] = [ours.certificate.subjectName.der, ours.certificate.spki]
  expect(statusOf(idFor(name, spki))).toBe('answered')
  expect(statusOf(idFor(name, spki, ['sha256', '2.16.840.1.101.3.4.2.1']))).toBe('answered')
  expect(statusOf(idFor(name, namesake.certificate.spki))).toBe('unauthorized')
  expect(statusOf(idFor(other.certificate.subjectName.der, spki))).toBe('unauthorized')
  expect(statusOf(idFor(name, spki, ['md5', '1.2.840.113549.2.5']))).toBe('unauthorized')
})

test('of several certificates each gets its answer, those of others are unknown', async () => {
  const authority = await root()
  const sha = (bytes: Buffer) => derOctets(createHash('sha1').update(bytes).digest())
  const { subjectName, spki } = authority.certificate
  const ours = derSequence(sha1, sha(subjectName.der), sha(readBitString(childrenOf(readElement(spki))[1])), derInteger(5n))
  const answer = answerOcsp(authority, request([ours, certId(6n)], nonce(Buffer.alloc(16, 9))), () => ({ kind: 'good' }), NOW)
  for (const part of [
    derSequence(ours, der(0x80), derTime(NOW)),
    derSequence(certId(6n), der(0x82), derTime(NOW)),
    derOctets(Buffer.alloc(16, 9)),
  ])
    expect(answer.includes(part)).toBe(true)
})

test('an answer names its responder by the hash of its key', async () => {
  const authority = await root()
  const sha = (bytes: Buffer) => createHash('sha1').update(bytes).digest()
  const { subjectName, spki } = authority.certificate
  const key = sha(readBitString(childrenOf(readElement(spki))[1]))
  const id = derSequence(sha1, derOctets(sha(subjectName.der)), derOctets(key), derInteger(5n))
  const answer = childrenOf(readElement(answerOcsp(authority, request([id]), () => ({ kind: 'good' }), NOW)))
  expect(answer[0]!.bytes.toString('hex')).toBe('0a0100')
  const [type, basic] = childrenOf(childrenOf(answer[1]!)[0]!)
  expect(readOid(type!)).toBe('1.3.6.1.5.5.7.48.1.1')
  const [responder, time, , extensions] = childrenOf(childrenOf(readElement(basic!.content))[0]!)
  expect([responder!.bytes, time!.bytes, extensions]).toEqual([der(0xa2, derOctets(key)), derTime(NOW), undefined])
})

test('a key that can sign no answer is refused', async () => {
  const authority = await root()
  const sha = (bytes: Buffer) => derOctets(createHash('sha1').update(bytes).digest())
  const { subjectName, spki } = authority.certificate
  const id = derSequence(sha1, sha(subjectName.der), sha(readBitString(childrenOf(readElement(spki))[1])), derInteger(5n))
  const key = generateKeyPairSync('ed25519').privateKey
  expect(() => answerOcsp({ ...authority, key }, request([id]), () => ({ kind: 'good' }), NOW)).toThrow(
    expect.objectContaining({ code: 'malformed', message: 'a key of type ed25519 cannot sign for an authority here' }),
  )
})

test('what is no answer has the number that RFC 6960 gives it', () => {
  const codes = (['malformedRequest', 'internalError', 'tryLater', 'unauthorized'] as const).map((error) =>
    ocspError(error).toString('hex'),
  )
  expect(codes).toEqual(['30030a0101', '30030a0102', '30030a0103', '30030a0106'])
})
