import type { z } from 'zod'
import { userKeyRequest, verifierKeyRequest } from '../../../core/api/agent.ts'
import type { KeyProof } from '../../../core/api/agent-info.ts'
import { defectsOf } from '../../../core/api/parse-message.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { challengeHmac } from '../../../core/payload/auth-tag.ts'
import { isShareSize } from '../../../core/payload/key-shares.ts'
import { decryptShare } from '../../../core/payload/transport.ts'
import type { ApiReply, ApiRequest } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'
import { orderOf } from './take-sealed.ts'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** As for nonces: tenants send 20 characters. */
const MAX_CHALLENGE = 64
const AUTH_TAG = /^[0-9a-fA-F]{96}$/

/** `POST /v2.x/keys/ukey`: the tenant's share, its tag and the sealed payload. The answer says only that they were well formed. */
export async function postUserKey(context: AgentContext, request: ApiRequest): Promise<ApiReply> {
  const body = parse(userKeyRequest, request.body)
  const share = openShare(context, body.encrypted_key, 'Invalid decrypted key')
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(body.auth_tag)) throw invalid('Invalid hex encoding in auth_tag')
  if (!AUTH_TAG.test(body.auth_tag)) throw invalid(`auth tag length of ${body.auth_tag.length / 2} does not equal 48`)
  const payload = body.payload ?? null
  if (payload !== null && !BASE64.test(payload)) throw invalid('Invalid base64 encoding in payload')
  const delivery = await orderOf(context, body).catch((error) => {
    share.fill(0)
    throw error
  })
  context.payloads.receive({ type: 'u', user: { share, authTag: body.auth_tag, payload, ...(delivery ? { delivery } : {}) } })
  return {}
}

/** `POST /v2.x/keys/vkey`: the verifier's share. */
export function postVerifierKey(context: AgentContext, request: ApiRequest): ApiReply {
  const body = parse(verifierKeyRequest, request.body)
  context.payloads.receive({ type: 'v', share: openShare(context, body.encrypted_key, 'Decrypted key is invalid') })
  return {}
}

/** `GET /v2.x/keys/pubkey`. */
export const getTransportKey = ({ transport }: AgentContext): ApiReply => ({ results: { pubkey: transport.publicPem } })

/** `GET /v2.x/keys/verify`: proves that K was derived. */
export function getKeyProof({ payloads }: AgentContext, request: ApiRequest): ApiReply {
  const challenge = request.query.get('challenge') ?? ''
  if (challenge === '') throw invalid('No challenge provided.')
  if (challenge.length > MAX_CHALLENGE) throw invalid(`Challenge is too long (max size ${MAX_CHALLENGE}): ${challenge.length}`)
  if (!/^[A-Za-z0-9]+$/.test(challenge)) throw invalid(`Parameters should be strictly alphanumeric: ${challenge}`)
  if (!payloads.key) throw invalid('Bootstrap key not yet available.')
  return { results: { hmac: challengeHmac(payloads.key, challenge) } satisfies KeyProof }
}

function openShare({ transport }: AgentContext, text: string, wrongSize: string): Buffer {
  if (!BASE64.test(text)) throw invalid('Invalid base64 encoding in encrypted_key')
  let share: Buffer
  try {
    share = decryptShare(transport.privateKey, text)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    throw new KeylimeError('invalid_request', `Failed to decrypt encrypted_key: ${error.message}`, { cause: error })
  }
  if (isShareSize(share.length)) return share
  throw invalid(`${wrongSize}: ${share.length} bytes, 16 or 32 are needed`)
}

function parse<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw invalid(`Json deserialize error: ${defectsOf(parsed.error)}`)
}

const invalid = (message: string) => new KeylimeError('invalid_request', message)
