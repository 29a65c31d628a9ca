import type { KeyObject } from 'node:crypto'

const known = new WeakMap<KeyObject, Buffer>()

/** A public key as SubjectPublicKeyInfo DER (RFC 5280, 4.1.2.7); never to be changed. Of one key object it is made once: OpenSSL takes longer for it than for a hash. */
export function spkiOf(key: KeyObject): Buffer {
  const before = known.get(key)
  if (before) return before
  const spki = key.export({ type: 'spki', format: 'der' }) as Buffer
  known.set(key, spki)
  return spki
}

/** For who made a key of exactly the DER that OpenSSL would write. */
export const rememberSpki = (key: KeyObject, spki: Buffer): void => void known.set(key, spki)
