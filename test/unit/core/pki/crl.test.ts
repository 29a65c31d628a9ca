import { isCrlSignedBy, makeCrl, parseCrl } from '../../../../src/core/pki/crl.ts'
import { signerOf, x509 } from '../../../../src/core/pki/library.ts'
import { DAY, NOW, root, rsaPair } from './fixtures.ts'

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
