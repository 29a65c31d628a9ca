import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readElement } from '../../../../src/core/pki/der.ts'
import { derNull, derOid, derSequence } from '../../../../src/core/pki/der-writer.ts'
import { isSignatureRight, parseSignatureAlgorithm, type SignatureAlgorithm } from '../../../../src/core/pki/signature-algorithm.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { der } from './fixtures.ts'

const parsed = (oid: string, parameters: Buffer = derNull()) => parseSignatureAlgorithm(readElement(derSequence(derOid(oid), parameters)))

test.each([
  ['1.2.840.113549.1.1.5', 'rsassa', 'sha1'],
  ['1.2.840.113549.1.1.11', 'rsassa', 'sha256'],
  ['1.2.840.113549.1.1.12', 'rsassa', 'sha384'],
  ['1.2.840.113549.1.1.13', 'rsassa', 'sha512'],
  ['1.2.840.10045.4.1', 'ecdsa', 'sha1'],
  ['1.2.840.10045.4.3.2', 'ecdsa', 'sha256'],
  ['1.2.840.10045.4.3.3', 'ecdsa', 'sha384'],
  ['1.2.840.10045.4.3.4', 'ecdsa', 'sha512'],
  ['1.3.101.112', 'eddsa', null],
])('%s is %s with %s', (oid, scheme, hash) => expect(parsed(oid)).toEqual({ scheme, hash }))

test.each(['1.2.840.113549.1.1.4', '1.2.840.10040.4.3', '1.3.101.113'])('%s is none that counts', (oid) =>
  expect(parsed(oid)).toBeUndefined(),
)

const PSS = '1.2.840.113549.1.1.10'
const sha = (oid: string) => derSequence(derOid(oid), derNull())
const [SHA256, SHA384] = ['2.16.840.1.101.3.4.2.1', '2.16.840.1.101.3.4.2.2']
const pss = (hash: string, mask: string, salt?: number) =>
  derSequence(
    der(0xa0, sha(hash)),
    der(0xa1, derSequence(derOid('1.2.840.113549.1.1.8'), sha(mask))),
    ...(salt === undefined ? [] : [der(0xa2, der(0x02, Buffer.from([salt])))]),
  )

test('RSA-PSS says hash and salt; its mask must use the same hash', () => {
  expect(parsed(PSS, pss(SHA256, SHA256, 32))).toEqual({ scheme: 'rsapss', hash: 'sha256', saltLength: 32 })
  expect(parsed(PSS, pss(SHA384, SHA384))).toEqual({ scheme: 'rsapss', hash: 'sha384', saltLength: 20 })
  expect(parsed(PSS, derSequence())).toEqual({ scheme: 'rsapss', hash: 'sha1', saltLength: 20 })
  for (const odd of [pss(SHA256, SHA384), pss('1.2.3', '1.2.3'), derSequence(der(0xa0, sha(SHA256)))])
    expect(parsed(PSS, odd)).toBeUndefined()
})

const data = Buffer.from('signed')
const rsa = rsaKeyPair()
const pssOnly = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const withSalt = (key: KeyObject, saltLength: number) => sign('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
const RSASSA: SignatureAlgorithm = { scheme: 'rsassa', hash: 'sha256' }
const RSAPSS: SignatureAlgorithm = { scheme: 'rsapss', hash: 'sha256', saltLength: 32 }

test.each<[string, SignatureAlgorithm, KeyObject, Buffer, boolean]>([
  ['RSASSA', RSASSA, rsa.publicKey, sign('sha256', data, rsa.privateKey), true],
  ['RSA-PSS', RSAPSS, rsa.publicKey, withSalt(rsa.privateKey, 32), true],
  ['RSA-PSS of a key for nothing else', RSAPSS, pssOnly.publicKey, withSalt(pssOnly.privateKey, 32), true],
  ['RSA-PSS with another salt', RSAPSS, rsa.publicKey, withSalt(rsa.privateKey, 20), false],
  ['ECDSA', { scheme: 'ecdsa', hash: 'sha256' }, ec.publicKey, sign('sha256', data, ec.privateKey), true],
  ['EdDSA', { scheme: 'eddsa', hash: null }, ed.publicKey, sign(null, data, ed.privateKey), true],
  ['PSS that is said to be RSASSA', RSASSA, pssOnly.publicKey, withSalt(pssOnly.privateKey, 32), false],
  ['ECDSA that is said to be EdDSA', { scheme: 'eddsa', hash: 'sha256' }, ec.publicKey, sign('sha256', data, ec.privateKey), false],
  ['EdDSA that is said to be ECDSA', { scheme: 'ecdsa', hash: null }, ed.publicKey, sign(null, data, ed.privateKey), false],
  ['RSASSA that is said to be ECDSA', { scheme: 'ecdsa', hash: 'sha256' }, rsa.publicKey, sign('sha256', data, rsa.privateKey), false],
  ['ECDSA that is said to be RSASSA', RSASSA, ec.publicKey, sign('sha256', data, ec.privateKey), false],
  ['another hash', { scheme: 'rsassa', hash: 'sha384' }, rsa.publicKey, sign('sha256', data, rsa.privateKey), false],
  ['bytes that are no signature', RSASSA, rsa.publicKey, Buffer.alloc(3), false],
])('a signature by %s is right: what it is said to be, and its key, decide', (_what, algorithm, key, signature, answer) => {
  expect(isSignatureRight(algorithm, key, data, signature)).toBe(answer)
})
