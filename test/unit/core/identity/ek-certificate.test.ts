import type { KeyObject } from 'node:crypto'
import { verifyEkCertificate } from '../../../../src/core/identity/ek-certificate.ts'
import { tpmMaker } from '../../../../src/core/identity/tpm-maker.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../../src/core/pki/issue.ts'
import { type PublicArea, parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { type AreaChanges, oddRsaArea } from '../../../software-ak.ts'
import { DAY, der, ecPair, extension, handMade, leaf, NOW, oid, root, utf8 } from '../pki/fixtures.ts'

const ekOf = (key: ReturnType<typeof ecPair>['publicKey']) => ({ key, type: 'ecc', exponent: null, nameAlg: 'sha256' }) as PublicArea

const [EK_CERTIFICATE, AK_CERTIFICATE, SERVER, ANY_USE] = ['6781050801', '6781050803', '2b06010505070301', '551d2500'].map(
  oid,
) as Buffer[] as [Buffer, Buffer, Buffer, Buffer]
const keyUsage = (bits: number) => extension('551d0f', true, der(0x03, Buffer.from([0, bits])))
const extendedUsage = (...oids: Buffer[]) => extension('551d25', false, der(0x30, ...oids))

const attribute = (type: string, value: string) => der(0x31, der(0x30, oid(type), utf8(value)))
/** SubjectAlternativeName of the TCG EK profile. */
const tpmNames = (id: string, model: string) =>
  extension('551d11', true, der(0x30, der(0xa4, der(0x30, attribute('6781050201', id), attribute('6781050202', model)))))

const ekCertificate = (authority: Authority, publicKey: KeyObject, extensions: Buffer[] = []) =>
  parseCertificate(
    handMade({ subject: der(0x30), issuer: authority.certificate.subjectName.der, key: authority.key, publicKey, extensions }),
  )

describe('verifyEkCertificate', () => {
  test('accepts a certificate for this key that leads to the store, and names the maker', async () => {
    const authority = await root('Maker CA')
    const pair = ecPair()
    const bytes = handMade({
      subject: der(0x30),
      issuer: authority.certificate.subjectName.der,
      key: authority.key,
      publicKey: pair.publicKey,
      extensions: [tpmNames('id:49465800', 'SLB9670')],
    })
    const verdict = verifyEkCertificate({
      ekCertificate: parseCertificate(bytes),
      ek: ekOf(pair.publicKey),
      store: [authority.certificate],
      now: NOW,
    })
    expect(verdict.ok && [verdict.verified.maker, verdict.verified.path.length]).toEqual(['Infineon (SLB9670)', 2])
  })
  test.each([
    ['no certificate', 'has no EK certificate', 'set require_ek_cert = False', {}],
    ['another key', 'for another key than the EK', 'look at this machine', { otherKey: true }],
    ['an empty store', 'store of TPM makers is empty', 'into tpm_cert_store', { store: 'empty' }],
    ['an unknown maker', 'no certificate of its issuer "CN=Maker"', 'put the certificate of "CN=Maker", as *.pem', { store: 'foreign' }],
    ['another maker of that name', 'the signature of', 'check where the certificates in tpm_cert_store come from', { store: 'namesake' }],
    ['an expired certificate', 'expired on', 'a TPM cannot renew its certificate', { now: NOW + 300 * DAY }],
  ])('refuses %s and says what to do', async (what, reason, hint, options: { otherKey?: boolean; store?: string; now?: number }) => {
    const [authority, foreign, namesake, pair] = [await root('Maker'), await root('Foreign'), await root('Maker'), ecPair()]
    const certificate = what === 'no certificate' ? null : ekCertificate(authority, pair.publicKey)
    const store = { empty: [], foreign: [foreign.certificate], namesake: [namesake.certificate] }[options.store ?? ''] ?? [
      authority.certificate,
    ]
    const ek = ekOf(options.otherKey ? ecPair().publicKey : pair.publicKey)
    const verdict = verifyEkCertificate({ ekCertificate: certificate, ek, store, now: options.now ?? NOW })
    expect(verdict).toMatchObject({ ok: false, reason: expect.stringContaining(reason), hint: expect.stringContaining(hint) })
  })

  const verdictOf = async (extensions: Buffer[], ek?: PublicArea) => {
    const [authority, pair] = [await root('Maker'), ecPair()]
    const certificate = ekCertificate(authority, ek?.key ?? pair.publicKey, extensions)
    const verdict = verifyEkCertificate({
      ekCertificate: certificate,
      ek: ek ?? ekOf(pair.publicKey),
      store: [authority.certificate],
      now: NOW,
    })
    return verdict.ok ? 'ok' : verdict.reason
  }
  test.each<[string, Buffer[], RegExp]>([
    ['as makers issue them', [keyUsage(0x08), extendedUsage(EK_CERTIFICATE)], /^ok$/],
    ['for the encryption of keys', [keyUsage(0x20)], /^ok$/],
    ['for any use', [extendedUsage(SERVER, ANY_USE)], /^ok$/],
    ['for signatures only', [keyUsage(0x80)], /key usage allows no encryption/],
    ['of a server of the maker', [extendedUsage(SERVER)], /extended key usage is 1\.3\.6\.1\.5\.5\.7\.3\.1, not that of an EK/],
    ['of an attestation key', [extendedUsage(AK_CERTIFICATE)], /not that of an EK certificate/],
    ['of an authority of the maker', [extension('551d13', true, Buffer.from('30030101ff', 'hex'))], /certificate of an authority/],
    ['that cannot be read', [extension('551d25', false, Buffer.from('31', 'hex'))], /cannot be read/],
  ])('a certificate %s is taken or refused for what it says of its use', async (_what, extensions, reason) => {
    expect(await verdictOf(extensions)).toMatch(reason)
  })
  test.each<[AreaChanges, RegExp]>([
    [{ bits: 1024 }, /1024 bits/],
    [{ exponent: 3 }, /exponent is 3/],
  ])('a weak EK is refused whatever its certificate says: %j', async (changes, reason) => {
    expect(await verdictOf([], parsePublicArea(oddRsaArea(changes)))).toMatch(reason)
  })
})

describe('a certificate past its end', () => {
  const after = NOW + 5 * DAY
  async function chain() {
    const [authority, pair] = [await root('Maker', { notAfter: NOW + 100 * DAY }), ecPair()]
    return { store: [authority.certificate], ekCertificate: await leaf(authority, 'EK', { pair }), ek: ekOf(pair.publicKey) }
  }
  test('is accepted where the operator says so, and named', async () => {
    const verdict = verifyEkCertificate({ ...(await chain()), now: after, expiry: 'accept' })
    expect(verdict).toMatchObject({ ok: true, verified: { expired: ['"CN=EK" ended on 2026-06-02'] } })
  })
  test('is refused otherwise, and the hint names the option', async () => {
    for (const expiry of ['refuse', undefined] as const)
      expect(verifyEkCertificate({ ...(await chain()), now: after, ...(expiry ? { expiry } : {}) })).toMatchObject({
        ok: false,
        hint: expect.stringContaining('ek_cert_expiry = accept'),
      })
  })
  test('nothing else is forgiven: the signature, the beginning, the key', async () => {
    const good = await chain()
    const other = await root('Maker', { notAfter: NOW + 100 * DAY })
    expect(verifyEkCertificate({ ...good, store: [other.certificate], now: after, expiry: 'accept' })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('signature'),
    })
    expect(verifyEkCertificate({ ...good, now: 0, expiry: 'accept' })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('not valid before'),
    })
    expect(verifyEkCertificate({ ...good, ek: ekOf(ecPair().publicKey), now: after, expiry: 'accept' })).toMatchObject({ ok: false })
  })
  test('of a maker is accepted too, and one that is not past its end comes first', async () => {
    const pair = ecPair()
    const old = await root('Maker', { pair, notBefore: NOW - 9 * DAY, notAfter: NOW - DAY })
    const fresh = await root('Maker', { pair, notAfter: NOW + DAY })
    const ekPair = ecPair()
    const ekCertificate = await leaf(old, 'EK', { pair: ekPair })
    const question = { ekCertificate, ek: ekOf(ekPair.publicKey), now: NOW, expiry: 'accept' as const }
    expect(verifyEkCertificate({ ...question, store: [old.certificate] })).toMatchObject({
      ok: true,
      verified: { expired: [expect.stringContaining('"CN=Maker" ended on')] },
    })
    expect(verifyEkCertificate({ ...question, store: [old.certificate, fresh.certificate] })).toMatchObject({
      ok: true,
      verified: { expired: [] },
    })
  })
})

test('tpmMaker falls back to the issuer, and shows ids that it does not know', async () => {
  const authority = await root('Some CA')
  expect(tpmMaker(await leaf(authority, 'EK'))).toBe('Some CA')
  const pair = ecPair()
  const named = (id: string) =>
    parseCertificate(
      handMade({ subject: der(0x30), issuer: der(0x30), key: authority.key, publicKey: pair.publicKey, extensions: [tpmNames(id, 'M')] }),
    )
  const makers =
    'AMD=AMD,ANT=Ant Group,ATML=Atmel,BRCM=Broadcom,CSCO=Cisco,FLYS=Flyslice,GOOG=Google,HISI=HiSilicon,HPE=HPE,HPI=HP,IBM=IBM,IFX=Infineon,INTC=Intel,LEN=Lenovo,MSFT=Microsoft,NSG=NSING,NTC=Nuvoton,NTZ=Nationz,QCOM=Qualcomm,ROCC=Fuzhou Rockchip,SMSC=SMSC,SMSN=Samsung,SNS=Sinosun,STM=STMicroelectronics,TXN=Texas Instruments,WEC=Winbond'
  for (const [letters, maker] of makers.split(',').map((line) => line.split('=') as [string, string]))
    expect(tpmMaker(named(`id:${Buffer.from(letters.padEnd(4, '\0')).toString('hex')}`))).toBe(`${maker} (M)`)
  expect([
    tpmMaker(named('id:00001014')),
    tpmMaker(named('id:58595A00')),
    tpmMaker(named('id:01020304')),
    tpmMaker(named('id:494E5443')),
    tpmMaker(named('00id:001014')),
    tpmMaker(named('id:58005900')),
    tpmMaker(named('id:01585900')),
    tpmMaker(named('id:58590100')),
  ]).toEqual([
    'a software TPM (M)',
    'XYZ (M)',
    'maker id:01020304 (M)',
    'Intel (M)',
    'maker 00id:001014 (M)',
    'maker id:58005900 (M)',
    'maker id:01585900 (M)',
    'maker id:58590100 (M)',
  ])
})

test('of its issuer’s name the organization counts before the common name', () => {
  const issued = (...attributes: Buffer[]) => {
    const pair = ecPair()
    return tpmMaker(
      parseCertificate(handMade({ subject: der(0x30), issuer: der(0x30, ...attributes), key: pair.privateKey, publicKey: pair.publicKey })),
    )
  }
  const [name, organization] = [attribute('550403', 'CA 7'), attribute('55040a', 'Maker Ltd')]
  expect([issued(name, organization), issued(name), issued()]).toEqual(['Maker Ltd', 'CA 7', 'an unnamed maker'])
})
