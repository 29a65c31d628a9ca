import { constants, sign } from 'node:crypto'
import { parseCertificate } from '../../../../src/core/pki/certificate.ts'
import { expiredOf, isSelfSigned, verifyChain } from '../../../../src/core/pki/chain.ts'
import type { Authority } from '../../../../src/core/pki/issue.ts'
import type { Certificate } from '../../../../src/core/pki/types.ts'
import { DAY, der, ecPair, extension, handMade, leaf, NOW, oid, type Pair, root, rsaPair, twoPartName } from './fixtures.ts'

const BASIC = '551d13'
const USAGE = '551d0f'
const ca = (pathLength?: number) =>
  extension(
    BASIC,
    true,
    der(0x30, Buffer.from('0101ff', 'hex'), ...(pathLength === undefined ? [] : [der(0x02, Buffer.from([pathLength]))])),
  )
const keyCertSign = extension(USAGE, true, Buffer.from('03020106', 'hex'))
const onlySignature = extension(USAGE, true, Buffer.from('03020780', 'hex'))

/** An authority below another one, put together by hand. */
function below(
  parent: Authority,
  name: string,
  options: { extensions?: Buffer[]; notBefore?: string; notAfter?: string; pair?: Pair } = {},
): Authority {
  const pair = options.pair ?? ecPair()
  const bytes = handMade({
    subject: der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(name))))),
    issuer: parent.certificate.subjectName.der,
    key: parent.key,
    publicKey: pair.publicKey,
    extensions: options.extensions ?? [ca(), keyCertSign],
    ...(options.notBefore ? { notBefore: options.notBefore } : {}),
    ...(options.notAfter ? { notAfter: options.notAfter } : {}),
  })
  return { certificate: parseCertificate(bytes), key: pair.privateKey }
}

const verify = (end: Certificate, anchors: Certificate[], intermediates: Certificate[] = [], now = NOW) => {
  const verdict = verifyChain({ leaf: end, intermediates, anchors, now })
  return verdict.ok ? verdict.path.map(({ subject }) => subject).join(' < ') : `no: ${verdict.reason}`
}

let top: Authority
let middle: Authority
let end: Certificate
beforeAll(async () => {
  top = await root('Root')
  middle = below(top, 'Middle')
  end = await leaf(middle, 'EK')
})

describe('verifyChain finds the path', () => {
  test('through an intermediate that the TPM delivered', () => {
    expect(verify(end, [top.certificate], [middle.certificate])).toBe('CN=EK < CN=Middle < CN=Root')
  })
  test('when the store holds both, up to the self-signed root', () => {
    expect(verify(end, [middle.certificate, top.certificate])).toBe('CN=EK < CN=Middle < CN=Root')
  })
  test('when the store holds only the intermediate, as upstream’s stores do', () => {
    expect(verify(end, [middle.certificate])).toBe('CN=EK < CN=Middle')
  })
  test('and does not go on to a root that is only delivered', () => {
    expect(verify(end, [middle.certificate], [top.certificate])).toBe('CN=EK < CN=Middle')
  })
  test('on the first and on the last moment of its time', () => {
    const anchors = [middle.certificate, top.certificate]
    for (const moment of [end.notBefore, end.notAfter]) expect(verify(end, anchors, [], moment)).toMatch(/^CN=EK/)
  })
  test('of eight certificates, and of no more', async () => {
    const authorities = [top]
    for (let i = 0; i < 7; i++) authorities.push(below(authorities.at(-1)!, `Authority ${i}`))
    const all = authorities.map(({ certificate }) => certificate)
    expect(verify(await leaf(authorities[6]!, 'EK'), [all[0]!], all)).toMatch(/^CN=EK( < CN=Authority \d){6} < CN=Root$/)
    expect(verify(await leaf(authorities[7]!, 'EK'), [all[0]!], all)).toContain('longer than is reasonable')
  })
  test('among several certificates with the same subject', async () => {
    const others = await Promise.all([root('Middle'), root('Middle')])
    expect(verify(end, [...others.map(({ certificate }) => certificate), middle.certificate, top.certificate])).toBe(
      'CN=EK < CN=Middle < CN=Root',
    )
  })
  test('around an expired certificate of the same key', () => {
    const pair = { privateKey: middle.key, publicKey: middle.certificate.publicKey }
    const old = below(top, 'Middle', { pair, notAfter: '20260102000000Z' })
    expect(verify(end, [old.certificate, middle.certificate, top.certificate])).toBe('CN=EK < CN=Middle < CN=Root')
  })
  test('with RSA PKCS#1, RSA-PSS and ECDSA signatures', async () => {
    const pair = rsaPair()
    const rsa = await root('RSA root', { pair })
    expect(verify(await leaf(rsa, 'a'), [rsa.certificate])).toBe('CN=a < CN=RSA root')
    const sha256 = der(0x30, oid('608648016503040201'))
    const pss = der(
      0x30,
      oid('2a864886f70d01010a'),
      der(0x30, der(0xa0, sha256), der(0xa1, der(0x30, oid('2a864886f70d010108'), sha256)), der(0xa2, der(2, Buffer.from([32])))),
    )
    const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    const made = handMade({
      subject: twoPartName('pss', false),
      issuer: rsa.certificate.subjectName.der,
      key: pair.privateKey,
      publicKey: ecPair().publicKey,
      algorithm: pss,
      sign: (tbs) => sign('sha256', tbs, { key: pair.privateKey, ...padding }),
    })
    expect(verify(parseCertificate(made), [rsa.certificate])).toBe('2.5.4.5=42+CN=pss < CN=RSA root')
  })
})

describe('of several reasons', () => {
  const expired = (name: string, key = ecPair()) => below(top, name, { pair: key, notAfter: '20260102000000Z' }).certificate
  test('the one furthest up is told, whichever was met first, and above whom', () => {
    const oldRoot = below(top, 'Root', { pair: { privateKey: top.key, publicKey: top.certificate.publicKey }, notAfter: '20260102000000Z' })
    const impostor = expired('Middle')
    for (const anchors of [
      [middle.certificate, impostor, oldRoot.certificate],
      [impostor, middle.certificate, oldRoot.certificate],
    ])
      expect(verify(end, anchors)).toBe('no: "CN=Root" expired on 2026-01-02 (above "CN=Middle")')
  })
  test('of one height the first is told', () => {
    const [old, impostor] = [expired('Middle'), below(top, 'Middle').certificate]
    expect(verify(end, [old, impostor])).toBe('no: "CN=Middle" expired on 2026-01-02')
    expect(verify(end, [impostor, old])).toBe('no: the signature of "CN=EK" is not of "CN=Middle"')
  })
})

describe('verifyChain refuses', () => {
  test('an issuer that is not in the store, and names it', () => {
    expect(verify(end, [top.certificate])).toBe('no: no certificate of its issuer "CN=Middle" is in the store')
  })
  test('an intermediate that nobody trusts', async () => {
    const foreign = await root('Foreign')
    expect(verify(end, [foreign.certificate], [middle.certificate])).toContain('no certificate of its issuer "CN=Root"')
  })
  test('an end certificate before and after its time', () => {
    const anchors = [middle.certificate, top.certificate]
    expect(verify(end, anchors, [], NOW - 2 * DAY)).toContain('"CN=EK" is not valid before 2026-05-31')
    expect(verify(end, anchors, [], NOW + 2 * DAY)).toContain('"CN=EK" expired on 2026-06-02')
  })
  test('an expired intermediate', async () => {
    const old = below(top, 'Old', { notAfter: '20260102000000Z' })
    expect(verify(await leaf(old, 'EK', { notBefore: NOW - 160 * DAY }), [old.certificate, top.certificate])).toContain(
      '"CN=Old" expired on 2026-01-02',
    )
  })
  test('a trusted intermediate whose root in the store has expired: one level is not enough', async () => {
    const expired = await root('Root', { pair: { privateKey: top.key, publicKey: top.certificate.publicKey }, notAfter: NOW - 1000 })
    expect(verify(end, [middle.certificate, expired.certificate])).toContain('"CN=Root" expired')
  })
  test('an issuer that is no authority', async () => {
    const plain = below(top, 'Plain', { extensions: [extension(BASIC, true, der(0x30))] })
    expect(verify(await leaf(plain, 'EK'), [top.certificate], [plain.certificate])).toContain('"CN=Plain" is not a certificate authority')
    const silent = below(top, 'Silent', { extensions: [keyCertSign] })
    expect(verify(await leaf(silent, 'EK'), [silent.certificate])).toContain('not a certificate authority')
  })
  test('a self-signed certificate that is no authority; only those of version 1 cannot say it', async () => {
    const pair = ecPair()
    const name = der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from('Self')))))
    const self = handMade({ subject: name, issuer: name, key: pair.privateKey, publicKey: pair.publicKey, extensions: [keyCertSign] })
    const issuer = { certificate: parseCertificate(self), key: pair.privateKey }
    expect(verify(await leaf(issuer, 'EK'), [issuer.certificate])).toContain('"CN=Self" is not a certificate authority')
    const first = handMade({ subject: name, issuer: name, key: pair.privateKey, publicKey: pair.publicKey, version: 1 })
    const old = { certificate: parseCertificate(first), key: pair.privateKey }
    expect(verify(await leaf(old, 'EK'), [old.certificate])).not.toContain('is not a certificate authority')
  })
  test('an authority that may not sign certificates', async () => {
    const weak = below(top, 'Weak', { extensions: [ca(), onlySignature] })
    expect(verify(await leaf(weak, 'EK'), [top.certificate], [weak.certificate])).toContain('"CN=Weak" may not sign certificates')
  })
  test('more authorities than the path length allows', async () => {
    const short = below(top, 'Short', { extensions: [ca(0), keyCertSign] })
    const deeper = below(short, 'Deeper')
    expect(verify(await leaf(deeper, 'EK'), [top.certificate], [short.certificate, deeper.certificate])).toContain(
      'allows only 0 authorities below it',
    )
    expect(verify(await leaf(short, 'EK'), [top.certificate], [short.certificate])).toBe('CN=EK < CN=Short < CN=Root')
  })
  test('a wrong signature', async () => {
    const impostor = await root('Middle')
    expect(verify(end, [impostor.certificate])).toContain('the signature of "CN=EK" is not of "CN=Middle"')
  })
  test('an unknown critical extension', async () => {
    const strange = below(top, 'Strange', { extensions: [ca(), extension('2a0304', true, der(0x05))] })
    expect(verify(await leaf(strange, 'EK'), [strange.certificate])).toContain('unknown critical extension 1.2.3.4')
  })
  test('signature algorithms that are not accepted', () => {
    const md5 = Buffer.from('300d06092a864886f70d0101040500', 'hex')
    const made = handMade({
      subject: twoPartName('x', false),
      issuer: top.certificate.subjectName.der,
      key: top.key,
      publicKey: ecPair().publicKey,
      algorithm: md5,
    })
    expect(verify(parseCertificate(made), [top.certificate])).toContain('signed in a way that is not accepted')
  })
  test('a malformed extension, without an exception', async () => {
    const broken = below(top, 'Broken', { extensions: [extension(BASIC, true, Buffer.from('3005', 'hex'))] })
    expect(verify(await leaf(broken, 'EK'), [broken.certificate])).toContain('cannot be read')
  })
  test('more certificates of one name than anybody needs, after a bounded number of signatures', async () => {
    const impostors = Array.from({ length: 80 }, () => below(top, 'Middle').certificate)
    expect(verify(end, [top.certificate], [...impostors, middle.certificate])).toMatch(/^no: /)
    expect(verify(end, [top.certificate], [...impostors.slice(0, 62), middle.certificate])).toBe('CN=EK < CN=Middle < CN=Root') // 64 with the two of the path
    expect(verify(end, [top.certificate], [...impostors.slice(0, 63), middle.certificate])).toContain('longer than is reasonable')
  })
  test('certificates that sign each other in a circle', async () => {
    const [a, b] = [await root('A'), await root('B')]
    const aByB = below(b, 'A', { pair: { privateKey: a.key, publicKey: a.certificate.publicKey } })
    const bByA = below(a, 'B', { pair: { privateKey: b.key, publicKey: b.certificate.publicKey } })
    expect(verify(await leaf(a, 'EK'), [top.certificate], [aByB.certificate, bByA.certificate])).toMatch(/^no: /)
  })
})

test('isSelfSigned asks for the signature, not only for the name', async () => {
  expect(isSelfSigned(top.certificate)).toBe(true)
  const impostor = handMade({
    subject: top.certificate.subjectName.der,
    issuer: top.certificate.subjectName.der,
    key: ecPair().privateKey,
    publicKey: top.certificate.publicKey,
  })
  expect(isSelfSigned(parseCertificate(impostor))).toBe(false)
})

test('what has ended counts as expired a moment after its last, not at it', async () => {
  const certificate = await leaf(await root(), 'x', { notAfter: NOW })
  expect([expiredOf([certificate], NOW), expiredOf([certificate], NOW + 1)]).toEqual([[], [certificate]])
})

test('a certificate without a version is of version 1', () => {
  const pair = ecPair()
  const parts = { subject: der(0x30), issuer: der(0x30), key: pair.privateKey, publicKey: pair.publicKey }
  expect([1, 3].map((version) => parseCertificate(handMade({ ...parts, version: version as 1 | 3 })).version)).toEqual([1, 3])
})

test.each([
  ['a policy mapping', '551d21', true],
  ['certificate policies', '551d20', true],
  ['policy constraints', '551d24', true],
  ['any policy inhibited', '551d36', true],
  ['points of revocation lists', '551d1f', true],
  ['a constraint of names', '551d1e', false],
  ['a private extension', '2b0601040101', false],
])('%s as a critical extension, which is understood or makes the certificate count for nothing', async (_what, type, isKnown) => {
  const authority = await root()
  const pair = ecPair()
  const parts = { subject: der(0x30), issuer: authority.certificate.subjectName.der, key: authority.key, publicKey: pair.publicKey }
  const certificate = parseCertificate(handMade({ ...parts, extensions: [extension(type, true, der(0x30))] }))
  const verdict = verifyChain({ leaf: certificate, intermediates: [], anchors: [authority.certificate], now: NOW })
  expect(verdict.ok).toBe(isKnown)
})
