import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto'
import type { RegistrationRequest } from '../../../../src/core/api/registrar.ts'
import { checkSameTpm, judgeRegistration, type RegistrationRules } from '../../../../src/core/identity/judge-registration.ts'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { sameKey } from '../../../../src/core/pki/keys.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { oddRsaArea, type SoftwareAk, softwareAk, softwareCertify } from '../../../software-ak.ts'
import { der, ecPair, extension, handMade, leaf, NOW, oid, root, rsaPair, twoPartName } from '../pki/fixtures.ts'

const ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'
const [EK, OTHER_EK, AK, OTHER_AK, IAK, IDEVID] = Array.from({ length: 6 }, () => softwareAk('ecc')) as [
  SoftwareAk,
  SoftwareAk,
  SoftwareAk,
  SoftwareAk,
  SoftwareAk,
  SoftwareAk,
]
const MAKER = await root('Maker')
const publicKeyOf = (key: SoftwareAk) => createPublicKey(key.privateKey)
const pem = (bytes: Buffer) => parseCertificate(bytes).pem

const TPM_2_0 = '6781050102'
/** The certificate of a device key, with a HardwareModuleName (RFC 4108) of this type. */
const deviceCertificate = (key: SoftwareAk, { hardware = TPM_2_0, issuer = MAKER, serial = '1234', more = [] as Buffer[] } = {}) => {
  const module = der(0x30, oid(hardware), ...(serial ? [der(0x04, Buffer.from(serial))] : []))
  const names = der(0x30, der(0xa0, oid('2b06010505070804'), der(0xa0, module)))
  const extensions = hardware === '' ? [] : [extension('551d11', false, names), ...more]
  const name = { subject: der(0x30), issuer: issuer.certificate.subjectName.der }
  return pem(handMade({ ...name, key: issuer.key, publicKey: publicKeyOf(key), extensions }))
}
const ekCertificate = (key: SoftwareAk, subject = der(0x30)) =>
  pem(handMade({ subject, issuer: MAKER.certificate.subjectName.der, key: MAKER.key, publicKey: publicKeyOf(key) }))

const TLS = ekCertificate(EK)
const PRIVATE_KEY = EK.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
const RULES: RegistrationRules = { identity: 'default', malformed: 'warn', store: [MAKER.certificate], now: NOW }
const plain: RegistrationRequest = { aik_tpm: AK.public, ek_tpm: EK.public, ekcert: ekCertificate(EK), ip: '192.0.2.7', port: 9002 }
const statement = (parts: { id?: Buffer; name?: Buffer; signer?: SoftwareAk } = {}) => {
  const { attest, signature } = softwareCertify(parts.signer ?? IAK, {
    name: parts.name ?? parsePublicArea(AK.public).name,
    qualifyingData: parts.id ?? createHash('sha256').update(ID).digest(),
  })
  return { iak_attest: attest, iak_sign: signature }
}
const device: RegistrationRequest = {
  ...plain,
  iak_tpm: IAK.public,
  iak_cert: deviceCertificate(IAK),
  idevid_tpm: IDEVID.public,
  idevid_cert: deviceCertificate(IDEVID),
  ...statement(),
}

const judged = (request: RegistrationRequest, rules: Partial<RegistrationRules> = {}, known: RegistrationRequest | null = null) => {
  const found = judgeRegistration(ID, request, { ...RULES, ...rules })
  checkSameTpm(found.record, known ? judgeRegistration(ID, known, RULES).record : null)
  return found
}
const refusal = (...args: Parameters<typeof judged>): string => {
  try {
    judged(...args)
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return `${code}: ${message}`
  }
  return 'not refused'
}

test('what an agent says is recorded; it is counted when it comes again', () => {
  const { record, warnings } = judged(plain)
  expect(record).toMatchObject({ agentId: ID, ek: EK.public, ak: AK.public, iak: null, ip: '192.0.2.7', port: 9002, regcount: 1 })
  expect(warnings).toEqual([])
  expect(judged({ aik_tpm: AK.public, ek_tpm: EK.public }).record).toMatchObject({ ekCertificate: null, ip: null, port: null })
})

test.each<[string, RegistrationRequest, RegExp]>([
  ['without EK and certificate', { aik_tpm: AK.public }, /ek_tpm is missing/],
  ['with a certificate of the emulator only', { aik_tpm: AK.public, ekcert: 'emulator' }, /ek_tpm is missing/],
  ['with an EK that is none', { ...plain, ek_tpm: Buffer.from('x') }, /^malformed/],
  ['with a weak AK', { ...plain, aik_tpm: oddRsaArea({ bits: 1024 }) }, /aik_tpm is not an attestation key: its RSA key has 1024 bits/],
  ['with an AK without a scheme', { ...plain, aik_tpm: oddRsaArea({ scheme: null }) }, /no signing scheme/],
  [
    'with a weak EK',
    { ...plain, ek_tpm: oddRsaArea({ exponent: 3 }), ekcert: undefined },
    /ek_tpm is not an endorsement key: its RSA exponent is 3/,
  ],
  ['with an AK that may decrypt', { ...plain, aik_tpm: softwareAk('ecc', 0x00070072).public }, /decrypt is set/],
  ['with an AK that is not restricted', { ...plain, aik_tpm: softwareAk('ecc', 0x00040072).public }, /restricted is not set/],
  ['with an AK that may leave its TPM', { ...plain, aik_tpm: softwareAk('ecc', 0x00050070).public }, /fixedTPM is not set/],
  ['with the certificate of another EK', { ...plain, ekcert: ekCertificate(OTHER_EK) }, /ek_tpm is not the key of ekcert/],
  ['with a certificate that is none', { ...plain, ekcert: 'AAAA' }, /ekcert is not a certificate/],
  ['with PEM without a certificate', { ...plain, ekcert: '-----BEGIN X-----\nAAAA\n-----END X-----' }, /ekcert holds no certificate/],
  ['with an empty certificate', { ...plain, ekcert: '' }, /ekcert holds no certificate/],
  ['with a TLS certificate that is none', { ...plain, mtls_cert: 'AAAA' }, /mtls_cert is not a certificate/],
  ['with two TLS certificates', { ...plain, mtls_cert: TLS + TLS }, /mtls_cert holds 2 PEM blocks/],
  ['with a private key', { ...plain, mtls_cert: TLS + PRIVATE_KEY }, /mtls_cert holds a private key/],
  ['with a private key alone', { ...plain, mtls_cert: PRIVATE_KEY }, /mtls_cert holds a private key/],
  ['with words beside its TLS certificate', { ...plain, mtls_cert: `${TLS}more` }, /mtls_cert holds no certificate, or more/],
])('a registration %s is refused', (_, request, reason) => {
  expect(refusal(request)).toMatch(reason)
  expect(refusal(request)).toMatch(/^(invalid_request|malformed): /)
})

test.each([2048, 3072])('of an RSA key of %d bits alone an EK is made only where a default template has it', async (modulusLength) => {
  const { pem: ekcert } = await leaf(MAKER, 'EK', { pair: generateKeyPairSync('rsa', { modulusLength }) })
  const words = modulusLength === 2048 ? 'not refused' : 'no default EK template fits the certificate’s RSA key'.replace('’', "'")
  expect(refusal({ aik_tpm: AK.public, ekcert })).toContain(words)
})

test.each(['ekcert', 'iak_cert', 'idevid_cert', 'mtls_cert'] as const)('a refusal names %s as the field that is wrong', (field) => {
  expect(refusal({ ...plain, [field]: 'AAAA' })).toMatch(new RegExp(`^invalid_request: .*${field} is not a certificate`))
})

test('no refusal repeats a private key', () => {
  expect(refusal({ ...plain, mtls_cert: PRIVATE_KEY })).not.toContain(PRIVATE_KEY.slice(40, 80))
})

const INVALID = 'Could not register agent with invalid data'
test.each<[string, RegistrationRequest, RegistrationRules['malformed'], string, unknown]>([
  [
    'holds a private key',
    { ...plain, mtls_cert: PRIVATE_KEY },
    'warn',
    `${INVALID}: mtls_cert holds a private key`,
    'give the certificate alone, and make a new key: this one is known now',
  ],
  ['is none', { ...plain, mtls_cert: 'AAAA' }, 'warn', `${INVALID}: mtls_cert is not a certificate`, undefined],
  [
    'is not strict DER',
    { ...plain, mtls_cert: ekCertificate(EK, twoPartName('x', true)) },
    'reject',
    `${INVALID}: mtls_cert is not strict DER, and malformed_cert_action is "reject"`,
    undefined,
  ],
])('a TLS certificate that %s is refused in one sentence, with what to do', (_what, request, malformed, message, hint) => {
  expect(() => judged(request, { malformed })).toThrow(expect.objectContaining({ code: 'invalid_request', message, hint }))
})

test.each([
  [
    'before its time',
    Date.UTC(2025, 0),
    /^mtls_cert is not valid before .*: upstream’s verifiers and tenants will not talk to this agent$/,
  ],
  ['in its last month', Date.UTC(2026, 11, 20), null],
  ['past its end', Date.UTC(2027, 5), /^mtls_cert ended on 2027-01-01: upstream’s verifiers/],
])('of a TLS certificate %s it is warned or not', (_when, now, warning) => {
  expect(judged({ ...plain, mtls_cert: TLS }, { now }).warnings).toEqual(warning ? [expect.stringMatching(warning)] : [])
})

test('one TLS certificate is recorded as it came', () => {
  expect(judged({ ...plain, mtls_cert: TLS }).record.mtlsCertificate).toBe(TLS)
})

test('without TLS the certificate is the word disabled', () => {
  expect(judged({ ...plain, mtls_cert: 'disabled' }).record.mtlsCertificate).toBe('disabled')
})

test('an EK is taken from its certificate, unless no default template has such a key', async () => {
  const { ek } = judged({ aik_tpm: AK.public, ekcert: ekCertificate(EK) })
  expect(sameKey(ek.key, publicKeyOf(EK))).toBe(true)
  const strong = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const p384 = parsePublicArea(judged({ aik_tpm: AK.public, ekcert: (await leaf(MAKER, 'EK', { pair: strong })).pem }).record.ek)
  expect([sameKey(p384.key, strong.publicKey), p384.nameAlg, p384.symmetric?.keyBits]).toEqual([true, 'sha384', 256])
  const rsa = await leaf(MAKER, 'EK', { pair: rsaPair() })
  expect(judged({ aik_tpm: AK.public, ekcert: rsa.pem }).ek).toMatchObject({ type: 'rsa', keyBits: 2048 })
  const edwards = handMade({
    subject: der(0x30),
    issuer: MAKER.certificate.subjectName.der,
    key: MAKER.key,
    publicKey: ecPair().publicKey,
    spki: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.alloc(32, 1)]),
  })
  expect(refusal({ aik_tpm: AK.public, ekcert: edwards.toString('base64') })).toMatch(/^invalid_request: no default EK template fits/)
})

describe('an id that is taken', () => {
  const forbidden = 'forbidden: Agent re-registration with different TPM identity is forbidden for security reasons'
  test.each<[string, Partial<RegistrationRequest>, string]>([
    ['another EK', { ek_tpm: OTHER_EK.public, ekcert: undefined }, 'the default of every agent: set uuid = "hash_ek"'],
    ['another EK with its certificate', { ek_tpm: OTHER_EK.public, ekcert: ekCertificate(OTHER_EK) }, 'the default of every agent'],
    ['another AK', { aik_tpm: OTHER_AK.public }, 'the same TPM has registered with another attestation key'],
    ['another certificate of the same EK', { ekcert: ekCertificate(EK, twoPartName('x', false)) }, 'the EK certificate is another'],
    ['no certificate any more', { ekcert: undefined }, 'the EK certificate is another'],
  ])('is not given to %s, and it is said what is different', (_, changes, words) => {
    const said = refusal({ ...plain, ...changes }, {}, plain)
    expect(said).toContain(`${forbidden} (`)
    expect(said).toContain(words)
  })
  test('another EK alone is enough to be another machine, whoever it shares the AK with', () => {
    const bare = { ...plain, ekcert: undefined }
    expect(refusal({ ...bare, ek_tpm: OTHER_EK.public }, {}, bare)).toContain(`${forbidden} (`)
  })
  test('with an id of its own, another EK is told as such', () => {
    const { record } = judgeRegistration('web1', plain, RULES)
    const other = { ...plain, ek_tpm: OTHER_EK.public, ekcert: undefined }
    expect(() => checkSameTpm(judgeRegistration('web1', other, RULES).record, record)).toThrow(
      'another TPM, or another endorsement key of this one',
    )
  })
  test('may show a certificate that it had not shown', () => {
    expect(judged(plain, {}, { ...plain, ekcert: undefined }).record.ekCertificate).not.toBeNull()
  })
})

test('a certificate that is not strict DER is warned of, refused or let pass as configured', () => {
  const request = { ...plain, ekcert: ekCertificate(EK, twoPartName('x', true)) }
  expect(judged(request).warnings).toEqual([expect.stringContaining('ekcert is not strict DER')])
  expect(judged(request, { malformed: 'ignore' }).warnings).toEqual([])
  expect(refusal(request, { malformed: 'reject' })).toMatch(/ekcert is not strict DER/)
  expect(judged(plain, { malformed: 'reject' }).warnings).toEqual([])
  const tls = { ...plain, mtls_cert: request.ekcert }
  expect(judged(tls).warnings).toEqual([expect.stringContaining('mtls_cert is not strict DER')])
  expect(refusal(tls, { malformed: 'reject' })).toMatch(/mtls_cert is not strict DER/)
})

describe('IAK and IDevID', () => {
  const [RESIDENT, FIXED, RESTRICTED] = ['6781050b0101', '6781050b0102', '6781050b0103'].map(oid) as [Buffer, Buffer, Buffer]
  const certified = (key: SoftwareAk, ...policies: Buffer[]) =>
    deviceCertificate(key, { more: [extension('551d20', false, der(0x30, ...policies.map((policy) => der(0x30, policy))))] })
  const usedAs = (use: string, key = IAK) => deviceCertificate(key, { more: [extension('551d25', false, der(0x30, oid(use)))] })
  /** The IAK's key in the public area of one that signs anything. */
  const UNRESTRICTED = Buffer.from(IAK.public)
  UNRESTRICTED.writeUInt32BE(0x00040072, 6)

  test('hold with the policies of the TCG for their roles', () => {
    const certificates = { iak_cert: certified(IAK, RESIDENT, FIXED, RESTRICTED), idevid_cert: certified(IDEVID, RESIDENT, FIXED) }
    expect(refusal({ ...device, ...certificates })).toBe('not refused')
  })

  test.each<[string, number]>([
    ['is not restricted', 0x00040072],
    ['does not sign', 0x00010072],
    ['may leave its TPM', 0x00050070],
    ['may leave its parent', 0x00050062],
    ['was made elsewhere', 0x00050052],
    ['may decrypt', 0x00070072],
    ['has no attribute at all', 0],
  ])('are refused when the IAK %s, though it certified the AK and its maker certified it', (_, attributes) => {
    const key = softwareAk('ecc', attributes)
    const shown = { iak_tpm: key.public, iak_cert: deviceCertificate(key), ...statement({ signer: key }) }
    expect(refusal({ ...device, ...shown })).toMatch(/iak_tpm is not an attestation key: /)
    if (attributes === 0x00040072) return // an IDevID may sign anything
    expect(refusal({ ...device, idevid_tpm: key.public, idevid_cert: deviceCertificate(key) })).toMatch(
      /idevid_tpm is not a device identity: /,
    )
  })

  test('hold with both forms of the id in the statement', () => {
    expect(judged(device).record).toMatchObject({ iak: IAK.public, idevid: IDEVID.public })
    expect(judged({ ...device, ...statement({ id: Buffer.from(ID) }) }).record.iak).toEqual(IAK.public)
  })
  const foreign = softwareAk('ecc')
  const stranger = root('Stranger')
  test.each(['iak_tpm', 'iak_cert', 'idevid_tpm', 'idevid_cert'])('need %s', (field) => {
    expect(refusal({ ...device, [field]: undefined })).toMatch(/go together/)
  })
  test.each(['iak_attest', 'iak_sign'])('need %s', (field) => {
    expect(refusal({ ...device, [field]: undefined })).toMatch(/must prove that the IAK certified the AK/)
  })
  test.each<[string, Partial<RegistrationRequest>, RegExp]>([
    ['an IAK of another certificate', { iak_tpm: foreign.public }, /iak_tpm is not the key of iak_cert/],
    ['an IDevID of another certificate', { idevid_tpm: foreign.public }, /idevid_tpm is not the key of idevid_cert/],
    [
      'a certificate that names no hardware',
      { iak_cert: deviceCertificate(IAK, { hardware: '' }) },
      /iak_cert: it has no HardwareModuleName/,
    ],
    [
      'hardware that is no TPM 2.0',
      { idevid_cert: deviceCertificate(IDEVID, { hardware: '6781050101' }) },
      /idevid_cert: .* not of a TPM 2.0/,
    ],
    ['certificates of two devices', { idevid_cert: deviceCertificate(IDEVID, { serial: '1235' }) }, /for different devices/],
    ['a certificate of no device', { iak_cert: deviceCertificate(IAK, { serial: '' }) }, /iak_cert: .* no serial number/],
    ['one key in both roles', { idevid_tpm: IAK.public, idevid_cert: deviceCertificate(IAK) }, /are one key/],
    ['one key under two names', { idevid_tpm: UNRESTRICTED, idevid_cert: deviceCertificate(IAK) }, /are one key/],
    ['the certificate of an AK as that of the IDevID', { idevid_cert: usedAs('6781050803', IDEVID) }, /idevid_cert: .* attestation key/],
    ['an IAK for keys that sign anything', { iak_cert: certified(IAK, FIXED) }, /iak_cert: .* not for a restricted key/],
    ['an IDevID for attestation', { idevid_cert: certified(IDEVID, FIXED, RESTRICTED) }, /idevid_cert: .* vouches for an attestation key/],
    ['an EK certificate as that of the IAK', { iak_cert: usedAs('6781050801') }, /iak_cert: .* that of an EK certificate/],
    [
      'an IAK that may only encrypt',
      { iak_cert: deviceCertificate(IAK, { more: [extension('551d0f', true, Buffer.from('03020520', 'hex'))] }) },
      /iak_cert: its key usage allows no signatures/,
    ],
    ['a statement about another AK', statement({ name: parsePublicArea(OTHER_AK.public).name }), /certifies another key/],
    ['a statement for another id', statement({ id: Buffer.from('another') }), /another agent id/],
    ['a statement by another key', statement({ signer: IDEVID }), /signature does not verify/],
  ])('are refused with %s', (_, changes, reason) => {
    expect(refusal({ ...device, ...changes })).toMatch(reason)
  })
  test('are refused when their makers are not in the store, or their time is over', async () => {
    const issuer = await stranger
    expect(refusal({ ...device, iak_cert: deviceCertificate(IAK, { issuer }) })).toMatch(/iak_cert: .*no certificate of its issuer/)
    expect(refusal({ ...device, idevid_cert: deviceCertificate(IDEVID, { issuer }) })).toMatch(/idevid_cert: /)
    expect(refusal(device, { now: Date.UTC(2030, 0) })).toMatch(/iak_cert: /)
  })
})

test.each<[RegistrationRules['identity'], RegistrationRequest, boolean]>([
  ['default', plain, true],
  ['ek_cert', plain, true],
  ['ek_cert', { ...plain, ekcert: undefined }, true], // as upstream: the tenant demands the certificate
  ['ek_cert_or_iak_idevid', plain, true],
  ['iak_idevid', plain, false],
  ['iak_idevid', device, true],
])('tpm_identity = %s', (identity, request, accepted) => {
  expect(refusal(request, { identity }) === 'not refused').toBe(accepted)
})
