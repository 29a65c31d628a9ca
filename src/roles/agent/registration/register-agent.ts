import { registrationChallenge } from '../../../core/api/registrar.ts'
import { serverVersion } from '../../../core/api/server-version.ts'
import { compareVersions, isAtLeast, negotiateVersion } from '../../../core/api/versions.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { registrationTag } from '../../../core/payload/auth-tag.ts'
import { parseCredentialBlob } from '../../../core/tpm/make-credential.ts'
import type { ApiClient, ApiResponse } from '../../../io/http/api-client.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { DeviceKeyOptions } from '../../../io/tpm/iak-idevid.ts'
import { certifyAk } from '../../../io/tpm/iak-idevid.ts'
import type { AgentIdentity } from '../identity/open-identity.ts'

export interface RegistrationRequest {
  client: ApiClient
  identity: AgentIdentity
  /** Needed when the identity has device keys. */
  iak: DeviceKeyOptions | undefined
  /** Null for an agent that listens nowhere, unless somebody has said it. */
  contact: { readonly ip: string; readonly port: number } | null
  /** PEM, `disabled` when the agent serves without TLS, or null when it serves nobody. */
  mtlsCert: string | null
  /** Own versions, oldest first. */
  apiVersions: readonly string[]
  logger: Logger
}

export interface BackOff {
  initialDelayMs: number
  maxRetries: number
  maxDelayMs: number
}

/**
 * Registers and activates (protocol 2.6 to 2.10), again after pauses that double, as the options say. A 403 is final: the registrar knows this id with
 * another TPM. @throws KeylimeError of the last attempt.
 */
export async function registerWithRetries(
  request: RegistrationRequest,
  backOff: BackOff,
  pause: (milliseconds: number) => Promise<void>,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await registerOnce(request)
      return
    } catch (error) {
      if (!isKeylimeError(error) || error.code === 'refused' || attempt >= backOff.maxRetries) throw error
      const delay = Math.min(backOff.initialDelayMs * 2 ** attempt, backOff.maxDelayMs)
      request.logger.warn(`registration failed, again in ${delay / 1000} s: ${error.message}`, { attempt: attempt + 1 })
      await pause(delay)
    }
  }
}

/** One attempt. @throws KeylimeError `refused` for a 403. */
export async function registerOnce(request: RegistrationRequest): Promise<void> {
  const versions = await versionsToTry(request)
  for (const [i, version] of versions.entries()) {
    try {
      await registerAs(version, request)
      return
    } catch (error) {
      const isLast = i === versions.length - 1
      if (isLast || !isKeylimeError(error) || error.code !== 'invalid_request') throw error
    }
  }
}

/** The one that both know; all of ours, newest first, at a registrar without `/version` (protocol 1.3). */
async function versionsToTry({ client, apiVersions, logger }: RegistrationRequest): Promise<string[]> {
  const newestFirst = apiVersions.toSorted((a, b) => compareVersions(b, a))
  const reply = await client.request('GET', '/version')
  const info = serverVersion.safeParse(reply.results)
  if (reply.status >= 300 || !info.success) return newestFirst
  const { current_version: current, supported_versions: supported } = info.data
  if (current && apiVersions.includes(current)) return [current]
  const chosen = negotiateVersion(supported ?? [], apiVersions)
  if (chosen) return [chosen]
  logger.warn('the registrar offers no API version of ours: trying all', { supported })
  return newestFirst
}

async function registerAs(version: string, request: RegistrationRequest): Promise<void> {
  const { client, identity, logger } = request
  const path = `/v${version}/agents/${encodeURIComponent(identity.agentId)}`
  const reply = accepted(await client.request('POST', path, { body: await registrationBody(version, request) }), 'registration')
  const parsed = registrationChallenge.safeParse(reply.results)
  if (!parsed.success) throw new KeylimeError('malformed', 'the registrar sent no challenge')
  const blob = parseCredentialBlob(Buffer.from(parsed.data.blob, 'base64'))
  const secret = await identity.keys.use(({ tpm, ek, ak }) => tpm.activateCredential(ak, ek, blob))
  const tag = registrationTag(secret, identity.agentId)
  secret.fill(0)
  accepted(await client.request('PUT', path, { body: { auth_tag: tag } }), 'activation')
  // upstream's words: scripts wait for them
  logger.info(`Registration activated for agent ${identity.agentId}`, { version })
}

/** Registrars before API 2.2 read base64 of one DER certificate, not PEM with its chain. */
const certificateFor = (version: string, pem: string) =>
  isAtLeast(version, '2.2') ? pem : pem.replace(/-----END CERTIFICATE-----.*/s, '').replace(/-----BEGIN CERTIFICATE-----|\s/g, '')

async function registrationBody(version: string, request: RegistrationRequest): Promise<Record<string, unknown>> {
  const { identity, iak, contact, mtlsCert } = request
  const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null
  const body = {
    aik_tpm: base64(identity.keys.akBlob.public),
    ek_tpm: base64(identity.keys.ekPublic),
    ...(identity.ekCertificatePem ? { ekcert: certificateFor(version, identity.ekCertificatePem) } : {}),
    ...(contact ?? {}),
    ...(mtlsCert === null ? {} : { mtls_cert: mtlsCert }),
    iak_cert: base64(identity.deviceKeys?.iakCert ?? null),
    idevid_cert: base64(identity.deviceKeys?.idevidCert ?? null),
  }
  if (!identity.deviceKeys || !iak) return body
  const certification = await certifyAk(identity.keys, iak, identity.agentId, isAtLeast(version, '2.6'))
  return {
    ...body,
    iak_tpm: base64(identity.deviceKeys.iak),
    idevid_tpm: base64(identity.deviceKeys.idevid),
    iak_attest: base64(certification.attest),
    iak_sign: base64(certification.signature),
  }
}

/** What mends a refused registration. The registrar's words tell the cases apart; those of upstream's do not. */
export function refusalHint(said: string): string {
  if (said.includes('was revoked by an operator'))
    return 'nothing on this machine can change that; when it is back in good hands, `keylime tenant forget ID` lets it register again'
  const hash = /EK hash ([0-9a-f]{64})/.exec(said)?.[1]
  if (hash !== undefined)
    return `nothing on this machine can change that. An operator can let this TPM in with \`keylime tenant expect --ek-hash ${hash}\`; then restart the agent`
  if (said.includes('default of every agent'))
    return 'set uuid = "hash_ek" in agent.conf: then each machine has its own id, made from its TPM'
  if (said.includes('another attestation key'))
    return 'this TPM made another key, as after a new installation: `keylime tenant replace ID` lets it keep its id, and no notice is sent'
  if (said.includes('the EK certificate is another'))
    return 'if the TPM really got another certificate, `keylime tenant replace ID` accepts it'
  if (said.includes('another TPM'))
    return 'after a new mainboard: `keylime tenant replace ID` lets this machine take over the id; otherwise another machine has this id: set another uuid in agent.conf'
  if (said.includes('under another agent id'))
    return 'set back the uuid that this machine had (the registrar’s log names it), or give it up: `keylime tenant rename OLD NEW`, or `keylime tenant forget OLD`'
  return 'this id belongs to another TPM, or this TPM to another id: `keylime tenant replace ID` lets this machine take over the id, or set the right uuid in agent.conf'
}

function accepted(reply: ApiResponse, what: string): ApiResponse {
  if (reply.status >= 200 && reply.status < 300) return reply
  const said = reply.message || 'no reason given'
  if (reply.status === 403)
    throw new KeylimeError('refused', `the registrar forbids the ${what}: ${said}`, {
      hint: refusalHint(said),
    })
  if (reply.status === 400 || reply.status === 404)
    throw new KeylimeError('invalid_request', `the registrar refuses the ${what} (${reply.status}): ${said}`)
  throw new KeylimeError('unavailable', `the registrar cannot take the ${what} (${reply.status}): ${said}`)
}
