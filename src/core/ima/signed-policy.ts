import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { parseBoundedJsonText, policyJson } from '../api/bounded-json.ts'
import { KeylimeError } from '../errors.ts'
import { parseRuntimePolicy, type RuntimePolicy, runtimePolicyOf } from './runtime-policy.ts'

/** A DSSE envelope around a runtime policy (policies A.16). */
export interface PolicyEnvelope {
  payload: Buffer
  payloadType: string
  signatures: { keyId: string; signature: Buffer }[]
}

const MAX_SIGNATURES = 100

/** The envelope, or null when the text is a plain policy. @throws KeylimeError `invalid_request` for an envelope with missing parts. */
export const parseEnvelope = (text: string): PolicyEnvelope | null => envelopeOf(parsePolicyText(text))

/** @throws KeylimeError `invalid_request` for what is no JSON, or too much of it. */
const parsePolicyText = (text: string): unknown => parseBoundedJsonText(text, 'the runtime policy', policyJson(text.length))

function envelopeOf(json: unknown): PolicyEnvelope | null {
  if (typeof json !== 'object' || json === null || !('payload' in json) || !json.payload) return null
  const { payload, payloadType, signatures } = json as Record<string, unknown>
  if (typeof payload !== 'string' || typeof payloadType !== 'string' || !Array.isArray(signatures) || signatures.length > MAX_SIGNATURES)
    throw new KeylimeError('invalid_request', 'the signed policy needs payload, payloadType and signatures')
  const list = signatures.map((entry: unknown, i) => {
    const { keyid = '', sig } = (entry ?? {}) as Record<string, unknown>
    if (typeof sig !== 'string') throw new KeylimeError('invalid_request', `signatures[${i}].sig: must be a text`)
    return { keyId: String(keyid), signature: decode(sig) }
  })
  return { payload: decode(payload), payloadType, signatures: list }
}

/** Hexadecimal first, then base64 of either alphabet, in upstream's order. */
const decode = (text: string): Buffer =>
  text.length % 2 === 0 && /^[0-9a-fA-F]+$/.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')

/** DSSE's pre-authentication encoding: what is signed. */
export const preAuthEncoding = (payloadType: string, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload])

/**
 * The policy in an envelope, when at least one signature is good by the key (ECDSA with SHA-256). Key ids are hints, and prove nothing.
 * @param key PEM of a public EC key or of a certificate. @throws KeylimeError `unauthorized`.
 */
export function openEnvelope(envelope: PolicyEnvelope, key: string | Buffer): string {
  const publicKey = readKey(key)
  const signed = preAuthEncoding(envelope.payloadType, envelope.payload)
  if (!envelope.signatures.some(({ signature }) => verify('sha256', signed, publicKey, signature)))
    throw new KeylimeError('unauthorized', 'no signature of the runtime policy is good by the given key')
  return envelope.payload.toString('utf8')
}

function readKey(key: string | Buffer): KeyObject {
  let publicKey: KeyObject | null = null
  const text = key.toString()
  try {
    if (!text.includes('PRIVATE KEY')) publicKey = createPublicKey(text)
  } catch {
    // told below
  }
  if (publicKey?.asymmetricKeyType !== 'ec')
    throw new KeylimeError('unauthorized', 'the key of the runtime policy is not the PEM of a public EC key or of its certificate')
  return publicKey
}

/**
 * The plain policy in `text`. @param trust `key`: PEM that came along; `required`: unsigned policies are refused (`require_allow_list_signatures`).
 * An envelope is verified whenever there is a key. @throws KeylimeError 400 or 401 as upstream.
 */
export const plainPolicy = (text: string, trust: PolicyTrust): string => textInside(parseEnvelope(text), trust) ?? text

/** What `plainPolicy` and `parseRuntimePolicy` do, with a text that is plain parsed once: of a large one that is most of the work. @throws as both. */
export function readRuntimePolicy(text: string, trust: PolicyTrust): RuntimePolicy {
  const json = parsePolicyText(text)
  const inside = textInside(envelopeOf(json), trust)
  return inside === null ? runtimePolicyOf(json, text.length) : parseRuntimePolicy(inside)
}

export interface PolicyTrust {
  key: string | Buffer | null
  required: boolean
}

/** Null where there is no envelope. */
function textInside(envelope: PolicyEnvelope | null, trust: PolicyTrust): string | null {
  if (trust.required && !trust.key)
    throw new KeylimeError('unauthorized', 'runtime policies must be signed here, and no key to verify with was sent')
  if (!envelope) {
    if (trust.required) throw new KeylimeError('invalid_request', 'Runtime policy is not signed!')
    return null
  }
  return trust.key ? openEnvelope(envelope, trust.key) : envelope.payload.toString('utf8')
}
