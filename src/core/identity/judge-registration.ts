import { createHash } from 'node:crypto'
import type { RegistrationRequest } from '../api/registrar.ts'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import { parseCertificates } from '../pki/certificate.ts'
import { dateProblem } from '../pki/certificate-dates.ts'
import { sameKey } from '../pki/keys.ts'
import { parseSingleCertificate } from '../pki/single-certificate.ts'
import type { Certificate } from '../pki/types.ts'
import { certifyDefect } from '../quote/verify-certify.ts'
import { akDefects, ekDefects } from '../tpm/key-defects.ts'
import { type PublicArea, parsePublicArea } from '../tpm/public-area.ts'
import type { AgentRecord } from './agent-record.ts'
import { deviceIdentityDefect } from './device-identity.ts'
import { ekFromCertificate } from './ek-from-certificate.ts'
import { type TpmOfRecord, tpmOf } from './tpm-of-record.ts'

export interface RegistrationRules {
  /** `tpm_identity`: what an agent must show. */
  identity: 'default' | 'ek_cert_or_iak_idevid' | 'ek_cert' | 'iak_idevid'
  /** `malformed_cert_action` for certificates that are not strict DER. */
  malformed: 'warn' | 'reject' | 'ignore'
  /** Certificates of the makers, for IAK and IDevID. The EK certificate's chain is the tenant's to judge. */
  store: readonly Certificate[]
  /** Milliseconds since the epoch. */
  now: number
}

export interface JudgedRegistration {
  record: AgentRecord
  tpm: TpmOfRecord
  ek: PublicArea
  ak: PublicArea
  /** Things worth a line in the log. */
  warnings: string[]
}

const IDENTITY_CHANGED = 'Agent re-registration with different TPM identity is forbidden for security reasons'

/**
 * Decides whether a registration may be challenged (protocol 2.7), but for what is known of its id (`checkSameTpm`). Nothing here makes the agent active: that takes the proof of its TPM.
 * @throws KeylimeError `invalid_request`
 */
export function judgeRegistration(agentId: string, request: RegistrationRequest, rules: RegistrationRules): JudgedRegistration {
  const warnings: string[] = []
  const certificates = {
    ekcert: readCertificate('ekcert', request.ekcert, rules, warnings),
    iak: readCertificate('iak_cert', request.iak_cert, rules, warnings),
    idevid: readCertificate('idevid_cert', request.idevid_cert, rules, warnings),
  }
  if (request.mtls_cert && request.mtls_cert !== 'disabled') checkTlsCertificate(request.mtls_cert, rules, warnings)
  const ekBytes = request.ek_tpm ?? (certificates.ekcert ? ekFromCertificate(certificates.ekcert) : undefined)
  if (!ekBytes) throw invalid('ek_tpm is missing, and there is no EK certificate to take it from: without an EK no challenge can be made')
  const ek = parsePublicArea(ekBytes, certificates.ekcert)
  const ak = parsePublicArea(request.aik_tpm)
  refuse('ek_tpm is not an endorsement key', ekDefects(ek))
  refuse('aik_tpm is not an attestation key', akDefects(ak))
  const record = recordOf(agentId, request, { ek: ekBytes, ...certificates })
  checkKeyOfCertificate('ek_tpm', ek, 'ekcert', certificates.ekcert)
  checkDeviceIdentity(agentId, request, { ak, ...certificates }, rules)
  checkIdentityShown(request, rules)
  return { record, tpm: tpmOf(record, { ek, ak, ekCertificate: certificates.ekcert }), ek, ak, warnings }
}

const INVALID = 'Could not register agent with invalid data'
const invalid = (reason: string) => new KeylimeError('invalid_request', `${INVALID}: ${reason}`)

function refuse(what: string, defects: readonly string[]): void {
  if (defects.length > 0) throw invalid(`${what}: ${defects.join(', ')}`)
}

function readCertificate(field: string, text: string | undefined, rules: RegistrationRules, warnings: string[]): Certificate | null {
  if (text === undefined || text === 'emulator') return null
  let certificate: Certificate | undefined
  try {
    certificate = parseCertificates(text)[0]
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${INVALID}: ${field} is not a certificate`, { cause })
  }
  if (!certificate) throw invalid(`${field} holds no certificate`)
  checkStrict(field, certificate, rules, warnings)
  return certificate
}

/** Stored and shown as it came: it must be one certificate and nothing else. */
function checkTlsCertificate(text: string, rules: RegistrationRules, warnings: string[]): void {
  try {
    const certificate = parseSingleCertificate(text, 'mtls_cert')
    checkStrict('mtls_cert', certificate, rules, warnings)
    const dates = dateProblem(certificate, rules.now)
    if (dates?.level === 'error') warnings.push(`mtls_cert ${dates.text}: upstream’s verifiers and tenants will not talk to this agent`)
  } catch (error) {
    if (!isKeylimeError(error) || error.message.startsWith(INVALID)) throw error
    throw new KeylimeError('invalid_request', `${INVALID}: ${error.message}`, { cause: error, ...(error.hint ? { hint: error.hint } : {}) })
  }
}

function checkStrict(field: string, certificate: Certificate, rules: RegistrationRules, warnings: string[]): void {
  if (!certificate.strict && rules.malformed === 'reject')
    throw invalid(`${field} is not strict DER, and malformed_cert_action is "reject"`)
  if (!certificate.strict && rules.malformed === 'warn')
    warnings.push(`${field} is not strict DER, as some makers deliver them; its original bytes are kept`)
}

/**
 * The TPM of a record is the one that its id is bound to; an EK certificate may come later, and none may go or change.
 * @param known the active record of the id. @throws KeylimeError `forbidden` that says what is another.
 */
export function checkSameTpm(record: AgentRecord, known: AgentRecord | null): void {
  if (!known) return
  // The same bytes are the same key.
  const sameEk = known.ek.equals(record.ek) || sameKey(parsePublicArea(known.ek).key, parsePublicArea(record.ek).key)
  const sameAk = known.ak.equals(record.ak) || parsePublicArea(known.ak).name.equals(parsePublicArea(record.ak).name)
  const sameCertificate =
    known.ekCertificate === null || (record.ekCertificate !== null && known.ekCertificate.equals(record.ekCertificate))
  if (!sameEk || !sameAk || !sameCertificate)
    throw new KeylimeError('forbidden', `${IDENTITY_CHANGED} (${whatChanged(record.agentId, { sameEk, sameAk })})`)
}

/** The id that every agent has whose configuration names none. */
const DEFAULT_ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'

function whatChanged(agentId: string, { sameEk, sameAk }: { sameEk: boolean; sameAk: boolean }): string {
  if (!sameEk && agentId === DEFAULT_ID)
    return 'another machine has registered with this id, which is the default of every agent: set uuid = "hash_ek" in agent.conf'
  if (!sameEk) return 'another TPM, or another endorsement key of this one, has registered with this id'
  return sameAk ? 'the EK certificate is another' : 'the same TPM has registered with another attestation key'
}

function checkKeyOfCertificate(keyField: string, key: PublicArea, certificateField: string, certificate: Certificate | null): void {
  if (certificate && !sameKey(certificate.publicKey, key.key)) throw invalid(`${keyField} is not the key of ${certificateField}`)
}

/** IAK and IDevID: keys of the maker's certificates, chains to the store, and the AK certified by the IAK (protocol 2.8). */
function checkDeviceIdentity(
  agentId: string,
  request: RegistrationRequest,
  shown: { ak: PublicArea; iak: Certificate | null; idevid: Certificate | null },
  rules: RegistrationRules,
): void {
  if (![request.iak_tpm, shown.iak, request.idevid_tpm, shown.idevid].some(Boolean)) return
  if (!request.iak_tpm || !shown.iak || !request.idevid_tpm || !shown.idevid)
    throw invalid('iak_tpm, iak_cert, idevid_tpm and idevid_cert go together')
  const iak = parsePublicArea(request.iak_tpm)
  const idevid = parsePublicArea(request.idevid_tpm)
  checkKeyOfCertificate('iak_tpm', iak, 'iak_cert', shown.iak)
  checkKeyOfCertificate('idevid_tpm', idevid, 'idevid_cert', shown.idevid)
  const device = { iak: { key: iak, certificate: shown.iak }, idevid: { key: idevid, certificate: shown.idevid } }
  const deviceDefect = deviceIdentityDefect(device, rules.store, rules.now)
  if (deviceDefect) throw invalid(deviceDefect)
  if (!request.iak_attest || !request.iak_sign) throw invalid('iak_attest and iak_sign must prove that the IAK certified the AK')
  const id = Buffer.from(agentId, 'utf8')
  const defect = certifyDefect({
    signer: iak,
    subjectName: shown.ak.name,
    attest: request.iak_attest,
    signature: request.iak_sign,
    qualifyingData: [createHash('sha256').update(id).digest(), id],
  })
  if (defect) throw invalid(`the IAK's statement about the AK does not hold: ${defect}`)
}

/** An EK is there in any case: without one there is no challenge. */
function checkIdentityShown(request: RegistrationRequest, rules: RegistrationRules): void {
  const hasDevice = Boolean(request.iak_tpm && request.idevid_tpm)
  if (rules.identity === 'iak_idevid' && !hasDevice) throw invalid('tpm_identity = iak_idevid demands IAK and IDevID')
}

function recordOf(
  agentId: string,
  request: RegistrationRequest,
  shown: { ek: Buffer; ekcert: Certificate | null; iak: Certificate | null; idevid: Certificate | null },
): AgentRecord {
  return {
    agentId,
    ek: shown.ek,
    ekCertificate: shown.ekcert?.der ?? null,
    ak: request.aik_tpm,
    iak: request.iak_tpm ?? null,
    iakCertificate: shown.iak?.der ?? null,
    idevid: request.idevid_tpm ?? null,
    idevidCertificate: shown.idevid?.der ?? null,
    mtlsCertificate: request.mtls_cert ?? null,
    ip: request.ip ?? null,
    port: request.port ?? null,
    regcount: 1, // of one that was not registered before
  }
}
