import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import { KeylimeError } from '../../../core/errors.ts'
import { isDue } from '../../../core/pki/certificate-dates.ts'
import { hostName, makeSelfSigned } from '../../../core/pki/issue.ts'
import { privateKeyPem } from '../../../core/pki/keys.ts'
import { replaceFileAtomic } from '../../../io/files/atomic-file.ts'
import { readKeyFile } from '../../../io/files/key-file.ts'
import { readFileSync } from '../../../io/files/read-file.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { openKey } from './transport-key.ts'

export interface ServerCertificateRequest {
  keyFile: string
  certFile: string
  /** The configuration names `certFile`: when it is there, it is the operator's. */
  isNamed: boolean
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
/** Whoever believes it pins it, and nothing is won by an early end; upstream's verifiers refuse it from its end on until the machine is updated. */
const LIFE_DAYS = 3650
const WARN_DAYS = 30

/**
 * The agent's TLS key (P-256) and self-signed certificate. Made when missing, of another key or id, or past two thirds of its life, for the key that it has; then registered anew. A
 * certificate that the configuration names, or that somebody else signed, is the operator's: it is used as it is, or refused.
 * @throws KeylimeError `config_invalid` for one of the operator's that cannot be used.
 */
export async function openServerCertificate(request: ServerCertificateRequest): Promise<ServerCertificate> {
  const existing = checkServerCertificate(request)
  const key = await openKey(request.keyFile, request.password, { type: 'ecdsa', option: 'server_key' })
  const keyPem = privateKeyPem(key)
  if (existing && isOperators(existing, request)) return operators(existing, keyPem, request)
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
  await replaceFileAtomic(request.certFile, certificate.pem, 0o644)
  return { certPem: certificate.pem, keyPem }
}

/**
 * What is there of a certificate; makes nothing. @throws KeylimeError `config_invalid` for a key that cannot be read, and for a certificate of the operator's
 * that cannot be used.
 */
export function checkServerCertificate(request: Pick<ServerCertificateRequest, 'keyFile' | 'certFile' | 'isNamed' | 'password' | 'now'>) {
  const { keyFile, password, now } = request
  const key = fs.existsSync(keyFile) ? readKeyFile({ file: keyFile, password, option: 'server_key' }) : undefined
  const existing = readCertificate(request)
  if (!existing || !isOperators(existing, request)) return existing
  if (!key) throw unusable(request, `its key ${keyFile} is not there`, 'put the key there, or name it with server_key')
  if (!existing.checkPrivateKey(key))
    throw unusable(request, `it belongs to another key than ${keyFile}`, 'name the key that it was made for with server_key')
  if (existing.validToDate.getTime() < now)
    throw unusable(request, `it ended on ${existing.validToDate.toISOString()}`, 'renew it, or remove server_cert from agent.conf')
  return existing
}

function isOperators(certificate: X509Certificate, { isNamed }: Pick<ServerCertificateRequest, 'isNamed'>): boolean {
  return isNamed || certificate.issuer !== certificate.subject
}

function operators(certificate: X509Certificate, keyPem: string, { certFile, now, logger }: ServerCertificateRequest): ServerCertificate {
  const end = certificate.validToDate
  if (end.getTime() - now < WARN_DAYS * DAY) logger.warn(`${certFile} ends on ${end.toISOString()}: you have to renew it yourself`)
  return { certPem: certificate.toString(), keyPem }
}

const unusable = ({ certFile }: Pick<ServerCertificateRequest, 'certFile'>, why: string, hint: string) =>
  new KeylimeError('config_invalid', `server_cert: ${certFile} cannot be used: ${why}`, { hint: `${hint}; nothing was overwritten` })

/** Undefined when there is none. What stands under a name of the configuration and is no certificate is not ours to replace. */
function readCertificate(request: Pick<ServerCertificateRequest, 'certFile' | 'isNamed'>): X509Certificate | undefined {
  const { certFile, isNamed } = request
  if (!fs.existsSync(certFile)) return undefined
  const bytes = readFileSync(certFile, { option: 'server_cert', code: 'config_invalid' })
  try {
    return new X509Certificate(bytes)
  } catch {
    if (isNamed) throw unusable(request, 'it holds no certificate', 'name the certificate in PEM or DER')
    return undefined
  }
}

function renewalReason(certificate: X509Certificate, key: KeyObject, { agentId, now }: ServerCertificateRequest): string | undefined {
  if (!certificate.checkPrivateKey(key)) return 'it belongs to another key'
  if (certificate.subject !== `CN=${agentId}` && !certificate.subject.split('\n').includes(`CN=${agentId}`))
    return 'the agent has another id'
  const dates = { notBefore: certificate.validFromDate.getTime(), notAfter: certificate.validToDate.getTime() }
  if (isDue(dates, now)) return `it ends on ${certificate.validToDate.toISOString()}`
  if (certificate.validFromDate.getTime() > now)
    return `it begins on ${certificate.validFromDate.toISOString()}: the clock was ahead when it was made`
  return undefined
}
