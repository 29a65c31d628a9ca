import { describeRoot, followEkChain } from '../../../../src/core/identity/maker-roots.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../../src/core/pki/issue.ts'
import type { Certificate } from '../../../../src/core/pki/types.ts'
import { DAY, der, ecPair, extension, handMade, NOW, oid, root } from '../pki/fixtures.ts'

const SERVER = oid('2b06010505070301')
const CA_ISSUERS = oid('2b06010505073002')
/** `id-pe-authorityInfoAccess` */
const authorityInformation = (urls: string[]) =>
  extension('2b06010505070101', false, der(0x30, ...urls.map((url) => der(0x30, CA_ISSUERS, der(0x86, Buffer.from(url))))))
const ekCertificate = (authority: Authority, extensions: Buffer[] = []) =>
  parseCertificate(
    handMade({
      subject: der(0x30),
      issuer: authority.certificate.subjectName.der,
      key: authority.key,
      publicKey: ecPair().publicKey,
      extensions,
    }),
  )
const follow = (certificate: Certificate, store: readonly Certificate[], now = NOW) =>
  followEkChain({ certificate, intermediates: [], store, now, acceptExpired: true })

test('an EK certificate leads to the root of its maker, and what has expired on the way is named', async () => {
  const maker = await root('Maker')
  const certificate = ekCertificate(maker)
  expect(follow(certificate, [maker.certificate])).toEqual({ ok: true, path: [certificate, maker.certificate], expired: [] })
  expect(follow(certificate, [maker.certificate], NOW + 300 * DAY)).toMatchObject({ ok: true, expired: [certificate, maker.certificate] })
})

test('a certificate that is of no EK leads nowhere, though its maker is known', async () => {
  const maker = await root('Maker')
  const ofServer = ekCertificate(maker, [extension('551d25', false, der(0x30, SERVER))])
  expect(follow(ofServer, [maker.certificate])).toMatchObject({
    ok: false,
    reason: expect.stringContaining('not that of an EK certificate'),
    missing: null,
  })
})

test('the issuer that is missing in the store is named, and where its certificate can be fetched, as the EK certificate says', async () => {
  const [maker, other] = [await root('Maker'), await root('Other')]
  const said = (...urls: string[]) => ekCertificate(maker, [authorityInformation(urls)])
  expect(follow(ekCertificate(maker), [other.certificate])).toMatchObject({ ok: false, missing: 'CN=Maker', urls: [] })
  expect(follow(said('https://maker.example/ca.crt', 'file:///etc/shadow', 'http://a b'), [other.certificate])).toMatchObject({
    missing: 'CN=Maker',
    urls: ['https://maker.example/ca.crt'],
  })
})

test('a root is described by its maker, its name and its kind', async () => {
  const { certificate } = await root('Maker')
  expect(describeRoot(certificate)).toMatchObject({ maker: 'Maker', subject: 'CN=Maker', kind: 'root', notBefore: certificate.notBefore })
})
