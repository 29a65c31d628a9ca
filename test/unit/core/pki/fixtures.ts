import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type Authority, issueCertificate, makeAuthority } from '../../../../src/core/pki/issue.ts'
import type { Role } from '../../../../src/core/pki/roles.ts'
import type { Certificate } from '../../../../src/core/pki/types.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'

export const DAY = 86_400_000
export const NOW = Date.UTC(2026, 5, 1)

export interface Pair {
  privateKey: KeyObject
  publicKey: KeyObject
}

export const ecPair = (): Pair => generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
export const rsaPair = (): Pair => rsaKeyPair()

export const commonName = (value: string) => [{ oid: '2.5.4.3', value }]

/** A root, valid around NOW. */
export async function root(
  name = 'Root',
  options: { pair?: Pair; notBefore?: number; notAfter?: number; serial?: bigint; givesRoles?: boolean } = {},
): Promise<Authority> {
  const pair = options.pair ?? ecPair()
  const certificate = await makeAuthority({
    subject: commonName(name),
    ...pair,
    serial: options.serial ?? 1n,
    notBefore: options.notBefore ?? NOW - DAY,
    notAfter: options.notAfter ?? NOW + 10 * DAY,
    crlUrl: 'http://localhost:38080/crl',
    givesRoles: options.givesRoles ?? true,
  })
  return { certificate, key: pair.privateKey }
}

export async function leaf(
  authority: Authority,
  name: string,
  options: { pair?: Pair; notBefore?: number; notAfter?: number; role?: Role; serial?: bigint } = {},
): Promise<Certificate> {
  const pair = options.pair ?? ecPair()
  return issueCertificate(authority, {
    subject: commonName(name),
    publicKey: pair.publicKey,
    serial: options.serial ?? 7n,
    role: options.role,
    notBefore: options.notBefore ?? NOW - DAY,
    notAfter: options.notAfter ?? NOW + DAY,
    alternativeNames: [{ type: 'dns', value: name }],
    crlUrl: '',
  })
}

/** DER of one element from the DER of its parts. */
export function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const length = content.length
  const header = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), content])
}

export const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
export const utf8 = (text: string) => der(0x0c, Buffer.from(text, 'utf8'))
const attribute = (type: string, value: string) => der(0x30, oid(type), utf8(value))

const SHA256_RSA = Buffer.from('300d06092a864886f70d01010b0500', 'hex')
const SHA256_ECDSA = Buffer.from('300a06082a8648ce3d040302', 'hex')

/** Name with one RDN of two attributes: serialNumber and CN, in DER order or in the wrong order, as Nuvoton delivers them. */
export function twoPartName(commonName: string, wrongOrder: boolean): Buffer {
  const parts = [attribute('550403', commonName), attribute('550405', '42')]
  return der(0x30, der(0x31, ...(wrongOrder ? [...parts].sort(Buffer.compare).reverse() : [...parts].sort(Buffer.compare))))
}

export interface HandMade {
  subject: Buffer
  issuer: Buffer
  key: KeyObject
  publicKey: KeyObject
  notBefore?: string
  notAfter?: string
  extensions?: Buffer[]
  /** Content of the INTEGER; 9 by default. */
  serial?: Buffer
  /** 1 has no field for it. */
  version?: 1 | 3
  /** Replaces the SubjectPublicKeyInfo. */
  spki?: Buffer
  signature?: Buffer
  algorithm?: Buffer
  sign?: (tbs: Buffer) => Buffer
}

/** A certificate put together byte by byte, for what no generator makes. */
export function handMade(parts: HandMade): Buffer {
  const algorithm = parts.algorithm ?? (parts.key.asymmetricKeyType === 'rsa' ? SHA256_RSA : SHA256_ECDSA)
  const time = (text: string) => der(0x18, Buffer.from(text))
  const tbs = der(
    0x30,
    ...(parts.version === 1 ? [] : [der(0xa0, der(0x02, Buffer.from([2])))]),
    der(0x02, parts.serial ?? Buffer.from([9])),
    algorithm,
    parts.issuer,
    der(0x30, time(parts.notBefore ?? '20260101000000Z'), time(parts.notAfter ?? '20270101000000Z')),
    parts.subject,
    parts.spki ?? parts.publicKey.export({ format: 'der', type: 'spki' }),
    ...(parts.extensions ? [der(0xa3, der(0x30, ...parts.extensions))] : []),
  )
  const signature = parts.signature ?? parts.sign?.(tbs) ?? sign('sha256', tbs, parts.key)
  return der(0x30, tbs, algorithm, der(0x03, Buffer.from([0]), signature))
}

/** One extension. @param type hex of the OID's content. */
export const extension = (type: string, critical: boolean, value: Buffer) =>
  der(0x30, oid(type), ...(critical ? [Buffer.from('0101ff', 'hex')] : []), der(0x04, value))
