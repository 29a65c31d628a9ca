import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import { hostName, makeSelfSigned } from '../../../core/pki/issue.ts'
import { privateKeyPem } from '../../../core/pki/keys.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { openKey } from './transport-key.ts'

export interface ServerCertificateRequest {
  keyFile: string
  certFile: string
  password: string
  agentId: string
  contactIp: string
  now: number
  /** 16 random bytes. */
  serial: Buffer
  logger: Logger
}

export interface ServerCertificate {
  certPem: string
  keyPem: string
}

const DAY = 86_400_000
const LIFE_DAYS = 365
const RENEW_DAYS = 30

/** The agent's TLS key (P-256) and self-signed certificate. Made when missing, of another key or id, or within 30 days of its end; then registered anew. */
export async function openServerCertificate(request: ServerCertificateRequest): Promise<ServerCertificate> {
  const key = await openKey(request.keyFile, request.password, { type: 'ecdsa' })
  const keyPem = privateKeyPem(key)
  const existing = readCertificate(request.certFile)
  const reason = existing ? renewalReason(existing, key, request) : 'there is none'
  if (existing && !reason) return { certPem: existing.toString(), keyPem }
  request.logger.info('making a TLS certificate', { reason, file: request.certFile })
  const certificate = await makeSelfSigned({
    commonName: request.agentId,
    publicKey: createPublicKey(key),
    privateKey: key,
    serial: BigInt(`0x${request.serial.toString('hex')}`) >> 1n || 1n,
    notBefore: request.now - 5 * 60_000,
    notAfter: request.now + LIFE_DAYS * DAY,
    alternativeNames: [hostName(request.contactIp)],
  })
  await writeFileAtomic(request.certFile, certificate.pem, 0o644)
  return { certPem: certificate.pem, keyPem }
}

function readCertificate(file: string): X509Certificate | undefined {
  try {
    return new X509Certificate(fs.readFileSync(file))
  } catch {
    return undefined
  }
}

function renewalReason(certificate: X509Certificate, key: KeyObject, { agentId, now }: ServerCertificateRequest): string | undefined {
  if (!certificate.checkPrivateKey(key)) return 'it belongs to another key'
  if (certificate.subject !== `CN=${agentId}` && !certificate.subject.split('\n').includes(`CN=${agentId}`))
    return 'the agent has another id'
  if (certificate.validToDate.getTime() - now < RENEW_DAYS * DAY) return `it ends on ${certificate.validToDate.toISOString()}`
  return undefined
}
