import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { computedKeyId, keyringText } from '../../../src/core/ima/keyring.ts'
import { BOOT_AGGREGATE, imaLine, runtimePolicy } from '../../ima.ts'

export interface SignedLog {
  lines: string[]
  /** Knows the key that signed. */
  policy: string
}

/** A log of so many signed files. @param areGood whether the signatures hold: those that do not are looked at more often. */
export function signedLog(curve: 'P-256' | 'P-521', count: number, areGood: boolean): SignedLog {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curve })
  const id = computedKeyId(publicKey)
  const other = signatureOf(privateKey, id, 'another file')
  const lines = Array.from({ length: count }, (_, i) => {
    const content = `file ${i}`
    const digest = createHash('sha256').update(content).digest('hex')
    return imaLine(`ima-sig sha256:${digest} /usr/bin/signed-${i} ${areGood ? signatureOf(privateKey, id, content) : other}`)
  })
  const policy = runtimePolicy({ 'verification-keys': keyringText(new Map([[id, publicKey]])) })
  return { lines: [BOOT_AGGREGATE, ...lines], policy }
}

const SHA256 = 4
const HEAD = [3, 2, SHA256]

/** `security.ima` of a file, version 2 (policies A.11). */
function signatureOf(key: KeyObject, keyId: number, content: string): string {
  const signature = sign('sha256', Buffer.from(content), key)
  const head = Buffer.alloc(9)
  head.set(HEAD)
  head.writeUInt32BE(keyId, 3)
  head.writeUInt16BE(signature.length, 7)
  return Buffer.concat([head, signature]).toString('hex')
}
