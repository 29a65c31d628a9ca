import { X509Certificate } from 'node:crypto'
import { makeSelfSigned } from '../../../../src/core/pki/issue.ts'
import { readPinned } from '../../../../src/core/pki/pinned-certificate.ts'
import { ecPair, leaf, NOW, root, rsaPair } from './fixtures.ts'

const certificates = async () => {
  const authority = await root()
  const made = await Promise.all([
    leaf(authority, 'leaf'),
    root('RSA', { pair: rsaPair() }).then(({ certificate }) => certificate),
    makeSelfSigned({ commonName: 'own', ...ecPair(), serial: 1n, notBefore: NOW, notAfter: NOW + 1000, alternativeNames: [] }),
  ])
  return [authority.certificate, ...made]
}

test('key and dates are those that OpenSSL reads, of PEM and DER', async () => {
  for (const { pem } of await certificates()) {
    const { raw, publicKey, validFromDate, validToDate } = new X509Certificate(pem)
    const expected = {
      spki: publicKey.export({ format: 'der', type: 'spki' }),
      notBefore: validFromDate.getTime(),
      notAfter: validToDate.getTime(),
    }
    expect(readPinned(pem)).toEqual(expected)
    expect(readPinned(raw)).toEqual(expected)
  }
})

test('the key is kept for years: it has memory of its own', async () => {
  for (const { pem } of await certificates()) {
    const { spki } = readPinned(pem)
    expect(spki.buffer.byteLength).toBe(spki.length)
  }
})

test('what is cut off anywhere is refused, and so is what is no certificate', async () => {
  const { der } = (await root()).certificate
  const { raw } = new X509Certificate(der)
  for (let length = 0; length < raw.length; length += 7)
    expect(() => readPinned(raw.subarray(0, length))).toThrow(expect.objectContaining({ code: 'malformed' }))
  for (const text of ['', 'PEM', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----'])
    expect(() => readPinned(text)).toThrow(expect.objectContaining({ code: 'malformed' }))
})
