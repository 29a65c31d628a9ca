import { verifyEkCertificate } from '../../../../src/core/identity/ek-certificate.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import type { PublicArea } from '../../../../src/core/tpm/public-area.ts'
import { der, ecPair, extension, handMade, NOW, oid, root } from '../pki/fixtures.ts'

/**
 * What virtual TPMs of providers bring, in the shapes of Azure and Google: an EK without a certificate, beside it an AK with a certificate of the provider's authority (in NV,
 * 0x01c101d0 at Azure, 0x01c10000 at Google); or an EK certificate of that authority, which no maker of TPMs has signed.
 */
const usage = (use: string) => extension('551d25', false, der(0x30, oid(use)))
const [EK_USE, AK_USE] = ['6781050801', '6781050803'] as const
const EMPTY = der(0x30)
const areaOf = (key: ReturnType<typeof ecPair>['publicKey']) => ({ key, type: 'ecc', exponent: null, nameAlg: 'sha256' }) as PublicArea

async function machine() {
  const [provider, maker, ek, ak] = [await root('Global Virtual TPM CA'), await root('Maker'), ecPair(), ecPair()]
  const certificate = (publicKey: typeof ek.publicKey, use: string) =>
    parseCertificate(
      handMade({ subject: EMPTY, issuer: provider.certificate.subjectName.der, key: provider.key, publicKey, extensions: [usage(use)] }),
    )
  return { provider: provider.certificate, maker: maker.certificate, ek, ak, certificate }
}

test('an EK without a certificate proves nothing, whoever’s certificates are in the store', async () => {
  const { ek, maker, provider } = await machine()
  const verdict = verifyEkCertificate({ ekCertificate: null, ek: areaOf(ek.publicKey), store: [maker, provider], now: NOW })
  expect(verdict).toMatchObject({ ok: false, reason: expect.stringContaining('no EK certificate'), hint: expect.stringMatching(/\w/) })
})

test('the certificate of the AK is none of the EK, though the provider is in the store', async () => {
  const { ek, ak, maker, provider, certificate } = await machine()
  const question = { ekCertificate: certificate(ak.publicKey, AK_USE), store: [maker, provider], now: NOW }
  expect(verifyEkCertificate({ ...question, ek: areaOf(ek.publicKey) })).toMatchObject({ ok: false })
  // nor when the machine gives out that key for its EK: a key that signs takes no challenge
  expect(verifyEkCertificate({ ...question, ek: areaOf(ak.publicKey) })).toMatchObject({
    ok: false,
    reason: expect.stringContaining('not that of an EK certificate'),
  })
})

test('an EK certificate of the provider counts where the operator has put the provider into the store, and only there', async () => {
  const { ek, maker, provider, certificate } = await machine()
  const question = { ekCertificate: certificate(ek.publicKey, EK_USE), ek: areaOf(ek.publicKey), now: NOW }
  expect(verifyEkCertificate({ ...question, store: [maker, provider] })).toMatchObject({ ok: true })
  expect(verifyEkCertificate({ ...question, store: [maker] })).toMatchObject({
    ok: false,
    reason: expect.stringContaining('no certificate of its issuer "CN=Global Virtual TPM CA"'),
  })
})
