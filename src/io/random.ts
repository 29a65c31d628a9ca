import { randomFillSync } from 'node:crypto'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
/** Largest multiple of 62 in a byte: higher values would favour the first letters. */
const UNBIASED = 248

const pool = Buffer.alloc(8192)
let used = pool.length

/** Fresh bytes of the operating system's generator. Drawn from a pool: one call a nonce would cost more than the nonce (each byte is given once). */
export function randomBytes(count: number): Buffer {
  if (count > pool.length) return randomFillSync(Buffer.alloc(count))
  if (used + count > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = Buffer.from(pool.subarray(used, used + count))
  pool.fill(0, used, used + count)
  used += count
  return bytes
}

/** `count` characters of A-Z, a-z and 0-9, without bias: nonces, challenges, credential secrets. */
export function randomAlphanumeric(count: number): string {
  let text = ''
  while (text.length < count)
    for (const byte of randomBytes(count - text.length)) if (byte < UNBIASED) text += ALPHABET[byte % ALPHABET.length]
  return text
}
