import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { KeyPair } from '../src/core/pki/keys.ts'

const ready = new Map<number, string[]>()
/** How many of each size the test file has had: this module is loaded once for many. */
let taken = new Map<number, number>()
let testFile: string | undefined

/** RSA keys, no two alike within a test file: ready-made ones, as the search for primes costs more than most tests; new ones when those of a size are used up. */
export function rsaKeyPair(bits = 2048): KeyPair {
  const { testPath } = typeof expect === 'undefined' ? {} : expect.getState()
  if (testPath !== testFile) [testFile, taken] = [testPath, new Map()]
  const nth = taken.get(bits) ?? 0
  taken.set(bits, nth + 1)
  const pem = readyKeys(bits)[nth]
  if (!pem) return generateKeyPairSync('rsa', { modulusLength: bits })
  const privateKey = createPrivateKey(pem)
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

function readyKeys(bits: number): readonly string[] {
  const file = path.join(import.meta.dirname, `vectors/keys/rsa${bits}.pem`)
  const keys = ready.get(bits) ?? (fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split(/(?<=-----END PRIVATE KEY-----\n)/) : [])
  ready.set(bits, keys)
  return keys
}

/** What the first start of a verifier in this directory finds as the key of its notices, as if restored from a backup. */
export function giveNotifierKey(keylimeDir: string): void {
  const pem = rsaKeyPair().privateKey.export({ format: 'pem', type: 'pkcs8' })
  fs.writeFileSync(path.join(keylimeDir, 'notifier-private.pem'), pem, { mode: 0o600 })
}
