import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type Authority, issueCertificate, makeAuthority } from '../../../../src/core/pki/issue.ts'
import type { Certificate } from '../../../../src/core/pki/types.ts'

export const DAY = 86_400_000
export const NOW = Date.UTC(2026, 5, 1)

export interface Pair {
  privateKey: KeyObject
  publicKey: KeyObject
}

export const ecPair = (): Pair => generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
export const rsaPair = (): Pair => generateKeyPairSync('rsa', { modulusLength: 2048 })

export const commonName = (value: string) => [{ oid: '2.5.4.3', value }]

/** A root, valid around NOW. */
export async function root(
  name = 'Root',
  options: { pair?: Pair; notBefore?: number; notAfter?: number; serial?: bigint } = {},
): Promise<Authority> {
  const pair = options.pair ?? ecPair()
  const certificate = await makeAuthority({
    subject: commonName(name),
    ...pair,
    serial: options.serial ?? 1n,
    notBefore: options.notBefore ?? NOW - DAY,
    notAfter: options.notAfter ?? NOW + 10 * DAY,
    crlUrl: 'http://localhost:38080/crl',
  })
  return { certificate, key: pair.privateKey }
}

export async function leaf(
  authority: Authority,
  name: string,
  options: { pair?: Pair; notBefore?: number; notAfter?: number } = {},
): Promise<Certificate> {
  const pair = options.pair ?? ecPair()
  return issueCertificate(authority, {
    subject: commonName(name),
    publicKey: pair.publicKey,
    serial: 7n,
    notBefore: options.notBefore ?? NOW - DAY,
    notAfter: options.notAfter ?? NOW + DAY,
    alternativeNames: [{ type: 'dns', value: name }],
    crlUrl: '',
  })
}
