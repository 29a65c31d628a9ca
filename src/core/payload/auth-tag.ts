import { createHmac, timingSafeEqual } from 'node:crypto'

const hmac = (key: Uint8Array | string, text: string) => createHmac('sha384', key).update(text, 'utf8').digest('hex')

/** Tells the agent that U and V fit: HMAC-SHA-384 of the agent id by K, 96 hex digits (protocol 3.4). */
export const authTag = (k: Uint8Array, agentId: string): string => hmac(k, agentId)

/** Proves at the registrar that the TPM recovered `secret`: the HMAC key is the base64 text of the secret (protocol 2.10). */
export const registrationTag = (secret: Uint8Array, agentId: string): string => hmac(Buffer.from(secret).toString('base64'), agentId)

/** The agent's proof that it derived K (`keys/verify`). */
export const challengeHmac = (k: Uint8Array, challenge: string): string => hmac(k, challenge)

/** Constant-time comparison of two texts; their length is no secret. */
export function sameTag(a: string, b: string): boolean {
  const left = Buffer.from(a, 'utf8')
  const right = Buffer.from(b, 'utf8')
  return left.length === right.length && timingSafeEqual(left, right)
}
