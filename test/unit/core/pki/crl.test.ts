import { toPem } from '../../../../src/core/pki/certificate.ts'
import { isCrlSignedBy, makeCrl, parseCrl, parseCrls, REVOCATION_REASONS, type RevocationReason } from '../../../../src/core/pki/crl.ts'
import { signerOf, x509 } from '../../../../src/core/pki/library.ts'
import { DAY, der, extension, NOW, root, rsaPair } from './fixtures.ts'

const request = {
  number: 300n,
  thisUpdate: NOW,
  nextUpdate: NOW + 7 * DAY,
  revoked: [
    { serial: 200n, date: NOW - DAY, reason: 'keyCompromise' as const },
    { serial: 2n ** 100n, date: NOW - 1000 },
    { serial: 5n, date: NOW, reason: 'unspecified' as const },
  ],
}

test.each([
  ['ECDSA', undefined],
  ['RSA', rsaPair()],
])('a list of an %s authority comes back whole', async (_, pair) => {
  const authority = await root('CA', pair ? { pair } : {})
  const list = parseCrl(await makeCrl(authority, request))
  expect(list).toMatchObject({ number: 300n, thisUpdate: NOW, nextUpdate: NOW + 7 * DAY })
  expect(list.revoked).toEqual([
    { serial: 200n, date: NOW - DAY, reason: 'keyCompromise' },
    { serial: 2n ** 100n, date: NOW - 1000 },
    { serial: 5n, date: NOW },
  ])
  expect(isCrlSignedBy(list.der, authority.certificate)).toBe(true)
})

test('a list is what the library would make of it', async () => {
  const authority = await root('CA', { pair: rsaPair() })
  const serials = [1n, 127n, 128n, 2n ** 53n - 1n, 2n ** 127n, 2n ** 159n - 1n]
  const revoked = serials.map((serial, i) => ({
    serial,
    date: Date.UTC(2049 + (i % 2), 11, 31, 23, 59, 59),
    reason: 'keyCompromise' as const,
  }))
  for (const list of [revoked, []]) {
    const made = await x509.X509CrlGenerator.create({
      issuer: new x509.Name(authority.certificate.subjectName.der as never),
      thisUpdate: new Date(NOW),
      nextUpdate: new Date(request.nextUpdate),
      extensions: [
        await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.spki as never),
        new x509.Extension('2.5.29.20', false, Buffer.from('0202012c', 'hex')),
      ],
      entries: list.map(({ serial, date, reason }) => ({
        serialNumber: serial.toString(16).padStart(2 * Math.ceil(serial.toString(16).length / 2), '0'),
        revocationDate: new Date(date),
        reason: REVOCATION_REASONS[reason],
      })),
      ...signerOf(authority.key),
    })
    expect(makeCrl(authority, { ...request, revoked: list }).toString('hex')).toBe(Buffer.from(made.rawData).toString('hex'))
  }
})

test('the list of a fleet is made and read like a short one', async () => {
  const authority = await root('CA')
  const revoked = Array.from({ length: 20_000 }, (_, i) => ({ serial: 2n ** 52n + BigInt(i), date: NOW, reason: 'keyCompromise' as const }))
  expect(parseCrl(makeCrl(authority, { ...request, revoked })).revoked).toHaveLength(20_000) // the library took half a minute
})

test('a list of another authority is told apart', async () => {
  const [one, other] = [await root('CA'), await root('CA')]
  expect(isCrlSignedBy(await makeCrl(one, { ...request, revoked: [] }), other.certificate)).toBe(false)
})

test('a list of upstream, without number and extensions, is read', async () => {
  const authority = await root('CA')
  const made = await x509.X509CrlGenerator.create({
    issuer: authority.certificate.subject,
    thisUpdate: new Date(NOW),
    nextUpdate: new Date(NOW),
    entries: [{ serialNumber: '02', revocationDate: new Date(NOW) }],
    ...signerOf(authority.key),
  })
  expect(parseCrl(Buffer.from(made.rawData))).toMatchObject({ number: undefined, nextUpdate: NOW, revoked: [{ serial: 2n, date: NOW }] })
})

test('garbage is refused', () => {
  for (const hex of ['', '30', '3000', '300330010a', '0500']) {
    expect(() => parseCrl(Buffer.from(hex, 'hex'))).toThrow(expect.objectContaining({ code: 'malformed' }))
  }
})

test('every reason comes back but the one that says nothing', async () => {
  const authority = await root('CA')
  const reasons = Object.keys(REVOCATION_REASONS) as RevocationReason[]
  const revoked = reasons.map((reason, i) => ({ serial: BigInt(i + 1), date: NOW, reason }))
  const list = parseCrl(await makeCrl(authority, { ...request, revoked }))
  expect(list.revoked.map(({ reason }) => reason)).toEqual(reasons.map((reason) => (reason === 'unspecified' ? undefined : reason)))
  expect(REVOCATION_REASONS).toEqual({
    unspecified: 0,
    keyCompromise: 1,
    cACompromise: 2,
    affiliationChanged: 3,
    superseded: 4,
    cessationOfOperation: 5,
    certificateHold: 6,
    privilegeWithdrawn: 9,
    aACompromise: 10,
  })
})

test('a file holds one list as DER, or any number of them as PEM', async () => {
  const lists = await Promise.all([1n, 0x80n].map(async (number) => makeCrl(await root('CA'), { ...request, number })))
  const numbers = (bytes: Buffer) => parseCrls(bytes).map(({ number }) => number)
  expect(numbers(lists[0]!)).toEqual([1n])
  expect(numbers(Buffer.from(`of today\n${lists.map((list) => toPem(list, 'X509 CRL')).join('\n')}`))).toEqual([1n, 0x80n])
  for (const text of ['', 'text', toPem(lists[0]!)])
    expect(() => parseCrls(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'malformed', message: 'it holds no revocation list' }),
    )
})

const algorithm = Buffer.from('300a06082a8648ce3d040302', 'hex')
const name = der(0x30)
const time = der(0x17, Buffer.from('260601000000Z'))
const signed = (...fields: Buffer[]) => der(0x30, der(0x30, ...fields), algorithm, der(0x03, Buffer.from([0])))
const entry = der(0x30, der(0x02, Buffer.from([5])), time)
test.each<[string, Buffer, object]>([
  ['version 1', signed(algorithm, name, time), { number: undefined, nextUpdate: undefined, revoked: [] }],
  ['version 2', signed(der(0x02, Buffer.from([1])), algorithm, name, time), { nextUpdate: undefined, revoked: [] }],
  ['no end', signed(algorithm, name, time, der(0x30, entry)), { nextUpdate: undefined, revoked: [{ serial: 5n, date: NOW }] }],
  ['an end and no entries', signed(algorithm, name, time, time), { nextUpdate: NOW, revoked: [] }],
  [
    'no end and a number',
    signed(algorithm, name, time, der(0xa0, der(0x30, extension('551d14', false, der(0x02, Buffer.from([9])))))),
    { number: 9n, nextUpdate: undefined, revoked: [] },
  ],
  [
    'an extension of an entry that is not known',
    signed(
      algorithm,
      name,
      time,
      der(0x30, der(0x30, der(0x02, Buffer.from([5])), time, der(0x30, extension('2a03', false, Buffer.from('0a0101', 'hex'))))),
    ),
    { revoked: [{ serial: 5n, date: NOW }] },
  ],
])('a list with %s is read', (_what, bytes, expected) => expect(parseCrl(bytes)).toMatchObject({ thisUpdate: NOW, ...expected }))

test('a list without a signature is none', () => {
  expect(() => parseCrl(der(0x30, der(0x30, algorithm, name, time)))).toThrow(
    expect.objectContaining({ code: 'malformed', message: 'the revocation list is not signed' }),
  )
})

test('as RFC 5280 has it, the number of a list is not critical, and a reason that says nothing is left out', async () => {
  const hex = (await makeCrl(await root('CA'), { ...request, revoked: [{ serial: 5n, date: NOW, reason: 'unspecified' }] })).toString('hex')
  expect(hex).toContain('0603551d1404') // the octets follow the name of the extension at once
  expect(hex).not.toContain('0603551d15')
  expect(hex).toContain('3012020105170d') // nor is there an empty list of extensions, as the library makes it
})
