import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { KeyPair } from '../src/core/pki/keys.ts'

let ready: string[] | undefined
let next = 0

/** RSA keys of 2048 bits, no two alike within a test file: ready-made ones, as the search for primes costs more than most tests; new ones when those are used up. */
export function rsaKeyPair(): KeyPair {
  ready ??= fs.readFileSync(path.join(import.meta.dirname, 'vectors/keys/rsa2048.pem'), 'utf8').split(/(?<=-----END PRIVATE KEY-----\n)/)
  const pem = ready[next++]
  if (!pem) return generateKeyPairSync('rsa', { modulusLength: 2048 })
  const privateKey = createPrivateKey(pem)
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

/** What the first start of a verifier in this directory finds as the key of its notices, as if restored from a backup. */
export function giveNotifierKey(keylimeDir: string): void {
  const pem = rsaKeyPair().privateKey.export({ format: 'pem', type: 'pkcs8' })
  fs.writeFileSync(path.join(keylimeDir, 'notifier-private.pem'), pem, { mode: 0o600 })
}
