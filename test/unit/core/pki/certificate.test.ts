import fc from 'fast-check'
import { isKeylimeError } from '../../../../src/core/errors.ts'
import { parseCertificate, parseCertificates, toPem } from '../../../../src/core/pki/certificate.ts'
import { verifyChain } from '../../../../src/core/pki/chain.ts'
import { readElement, readTime } from '../../../../src/core/pki/der.ts'
import type { Authority } from '../../../../src/core/pki/issue.ts'
import { sameKey } from '../../../../src/core/pki/keys.ts'
import { runs } from '../../../thorough.ts'
import { der, ecPair, extension, handMade, leaf, NOW, oid, root, rsaPair, twoPartName } from './fixtures.ts'

let authority: Authority
beforeAll(async () => {
  authority = await root('Maker')
})

describe('parseCertificate', () => {
  test('reads DER, base64 of DER and PEM alike', async () => {
    const certificate = await leaf(authority, 'agent')
    for (const form of [certificate.der, certificate.der.toString('base64'), certificate.pem, `noise\n${certificate.pem}`]) {
      const parsed = parseCertificate(form)
      expect(parsed.der.equals(certificate.der)).toBe(true)
      expect(parsed).toMatchObject({ subject: 'CN=agent', issuer: 'CN=Maker', serial: 7n, strict: true, defect: undefined, version: 3 })
    }
  })
  test('reads several certificates of one PEM text, in order', async () => {
    const certificate = await leaf(authority, 'agent')
    expect(parseCertificates(`${certificate.pem}\ntext\n${authority.certificate.pem}`).map(({ subject }) => subject)).toEqual([
      'CN=agent',
      'CN=Maker',
    ])
    expect(parseCertificates('')).toEqual([])
    expect(parseCertificates(certificate.der.toString('base64'))).toHaveLength(1)
  })
  test('keeps bytes behind the certificate, and still verifies it (ST)', async () => {
    const certificate = await leaf(authority, 'agent')
    const padded = parseCertificate(Buffer.concat([certificate.der, Buffer.alloc(20, 0xff)]))
    expect(padded.strict).toBe(false)
    expect(padded.defect).toContain('20 bytes follow')
    expect(padded.der.length).toBe(certificate.der.length + 20)
    expect(padded.pem).toBe(certificate.pem)
    expect(verifyChain({ leaf: padded, intermediates: [], anchors: [authority.certificate], now: NOW }).ok).toBe(true)
  })
  test('reads a SET in the wrong order, and verifies the original bytes (Nuvoton)', () => {
    const pair = ecPair()
    const issuer = authority.certificate.subjectName.der
    const bytes = handMade({ subject: twoPartName('NPCT', true), issuer, key: authority.key, publicKey: pair.publicKey })
    const certificate = parseCertificate(bytes)
    expect(certificate).toMatchObject({ strict: false, defect: 'the members of a SET are out of order' })
    expect(verifyChain({ leaf: certificate, intermediates: [], anchors: [authority.certificate], now: NOW }).ok).toBe(true)
    const ordered = parseCertificate(
      handMade({ subject: twoPartName('NPCT', false), issuer, key: authority.key, publicKey: pair.publicKey }),
    )
    expect(ordered.strict).toBe(true)
    expect(ordered.subjectName.matchKey).toBe(certificate.subjectName.matchKey)
  })
  test('reads an RSA key that is marked for OAEP, as an EK may be', () => {
    const pair = rsaPair()
    const spki = pair.publicKey.export({ format: 'der', type: 'spki' })
    const bits = spki.subarray(spki.indexOf(Buffer.from('0382010f00', 'hex')))
    const oaep = der(0x30, der(0x30, oid('2a864886f70d010107')), bits)
    const certificate = parseCertificate(
      handMade({
        subject: twoPartName('x', false),
        issuer: authority.certificate.subjectName.der,
        key: authority.key,
        publicKey: pair.publicKey,
        spki: oaep,
      }),
    )
    expect(sameKey(certificate.publicKey, pair.publicKey)).toBe(true)
  })
  test('reads dates of both forms, also the year 9999', () => {
    const { publicKey } = ecPair()
    const certificate = parseCertificate(
      handMade({
        subject: twoPartName('x', false),
        issuer: twoPartName('y', false),
        key: authority.key,
        publicKey,
        notAfter: '99991231235959Z',
      }),
    )
    expect(new Date(certificate.notAfter).getUTCFullYear()).toBe(9999)
    expect(authority.certificate.notBefore).toBe(NOW - 86_400_000)
  })
  test.each(['261301000000Z', '260230000000Z', '261123247427Z', '261123187427Z', '261123181461Z', '260001000000Z'])(
    'refuses the date %s, which is none',
    (date) => {
      const element = readElement(Buffer.concat([Buffer.from([0x17, date.length]), Buffer.from(date)]))
      expect(() => readTime(element)).toThrow('there is no date')
    },
  )
  test('refuses an extension that is there twice', () => {
    const { publicKey } = ecPair()
    const twice = extension('551d0f', true, Buffer.from('03020106', 'hex'))
    const bytes = handMade({
      subject: twoPartName('x', false),
      issuer: twoPartName('y', false),
      key: authority.key,
      publicKey,
      extensions: [twice, twice],
    })
    expect(() => parseCertificate(bytes)).toThrow('appears twice')
  })
  test.each([
    ['nothing', ''],
    ['text', 'hello world!'],
    ['PEM of something else', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----'],
    ['base64 of something else', Buffer.from('hello').toString('base64')],
    ['an indefinite length', Buffer.from('3080', 'hex')],
  ])('refuses %s', (_, input) => {
    expect(() => parseCertificate(input)).toThrow(expect.objectContaining({ code: 'malformed' }))
  })
  test('refuses a good certificate in a text that is no base64, and one with more bytes behind it than any maker has', () => {
    const { der: bytes } = authority.certificate
    const base64 = bytes.toString('base64')
    for (const text of [`(${base64})`, `(${base64}`, `${base64})`, `${base64}===`])
      expect(() => parseCertificate(text)).toThrow(
        expect.objectContaining({ code: 'malformed', message: expect.stringMatching(/neither PEM nor base64/) }),
      )
    expect(() => parseCertificate(Buffer.concat([bytes, Buffer.alloc(65_536)]))).toThrow(
      expect.objectContaining({ code: 'malformed', message: expect.stringMatching(/larger than any real one/) }),
    )
    expect(parseCertificate(Buffer.concat([bytes, Buffer.alloc(65_536 - bytes.length)])).subject).toBe(authority.certificate.subject)
    expect(() => parseCertificate(Buffer.concat([bytes, Buffer.alloc(65_537 - bytes.length)]))).toThrow(/of 65537 bytes is larger/)
  })
  test('refuses one that names another signature algorithm outside of its signed part than inside', () => {
    const bytes = Buffer.from(authority.certificate.der)
    const ecdsaSha256 = Buffer.from('06082a8648ce3d040302', 'hex')
    bytes[bytes.lastIndexOf(ecdsaSha256) + ecdsaSha256.length - 1] = 3 // ecdsa-with-SHA384
    expect(() => parseCertificate(bytes)).toThrow(/inside and outside of the signed part differ/)
  })
  test('refuses a public key of a kind that nobody knows', () => {
    const parts = { subject: der(0x30), issuer: der(0x30), key: authority.key, publicKey: ecPair().publicKey }
    const spki = der(0x30, der(0x30, oid('2a0304')), der(0x03, Buffer.from([0, 1])))
    expect(() => parseCertificate(handMade({ ...parts, spki }))).toThrow(
      expect.objectContaining({ code: 'malformed', message: 'not an X.509 certificate: its public key is of an unknown kind' }),
    )
  })
  test('reads what is nested too deeply as not strict, without an exception', () => {
    let nested = der(0x05)
    for (let i = 0; i < 200; i++) nested = der(0x30, nested)
    const parts = { subject: der(0x30), issuer: authority.certificate.subjectName.der, key: authority.key, publicKey: ecPair().publicKey }
    const certificate = parseCertificate(handMade({ ...parts, algorithm: der(0x30, oid('2a8648ce3d040302'), nested) }))
    expect(certificate).toMatchObject({ strict: false, defect: 'it is nested too deeply' })
  })
  test('never fails in another way, whatever the bytes are', () => {
    const good = authority.certificate.der
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }), fc.nat(good.length), (at, value, length) => {
        const bytes = Buffer.from(good)
        bytes[at] = value
        for (const input of [bytes, bytes.subarray(0, length)]) {
          try {
            verifyChain({ leaf: parseCertificate(input), intermediates: [], anchors: [authority.certificate], now: NOW })
          } catch (error) {
            if (!isKeylimeError(error)) throw error
          }
        }
      }),
      { numRuns: runs(1000, 250) },
    )
  })
  test('a changed byte in the signed part never verifies', () => {
    const good = authority.certificate.der
    fc.assert(
      fc.property(fc.integer({ min: 10, max: good.length - 90 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(good)
        bytes[at] = (bytes[at] ?? 0) ^ change
        try {
          const certificate = parseCertificate(bytes)
          if (certificate.tbs.equals(authority.certificate.tbs)) return
          expect(verifyChain({ leaf: certificate, intermediates: [], anchors: [authority.certificate], now: NOW }).ok).toBe(false)
        } catch (error) {
          if (!isKeylimeError(error)) throw error
        }
      }),
      { numRuns: runs(300, 100) },
    )
  })
})

test('toPem breaks lines at 64 characters', () => {
  expect(toPem(Buffer.alloc(60), 'X')).toBe(`-----BEGIN X-----\n${'A'.repeat(64)}\n${'A'.repeat(16)}\n-----END X-----\n`)
})
