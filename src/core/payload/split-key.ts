import { KeylimeError } from '../errors.ts'

/** Bytes of the bootstrap key K and of its shares U and V; the agent also accepts 16 (protocol 0). */
export const KEY_SIZE = 32

/** U = K xor V: neither share says anything about K alone. @throws KeylimeError `malformed` when the lengths differ. */
export function splitKey(k: Uint8Array, v: Uint8Array): Buffer {
  if (k.length !== v.length) throw new KeylimeError('malformed', `key of ${k.length} bytes and share of ${v.length} bytes do not match`)
  return Buffer.from(k.map((byte, i) => byte ^ v[i]!))
}

/** K = U xor V. */
export const combineKey = (u: Uint8Array, v: Uint8Array): Buffer => splitKey(u, v)
