import { createHash, generateKeyPairSync, hash, type KeyObject, sign, verify } from 'node:crypto'
import { FRESH_IMA } from '../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../src/core/ima/judge-log.ts'
import { computedKeyId, keyringText } from '../../src/core/ima/keyring.ts'
import { parseRuntimePolicy } from '../../src/core/ima/runtime-policy.ts'
import { verifyDigest } from '../../src/core/ima/verify-digest.ts'
import { nativePcrReplay } from '../../src/io/native/pcr-replay.ts'
import { nativeVerifyDigest } from '../../src/io/native/verify-digest.ts'
import { BOOT_AGGREGATE, imaLine, pcr10After, quotedPcr10, runtimePolicy } from '../ima.ts'
import { perSecond } from './per-second.ts'
import { printTable } from './table.ts'

const LINES = 500
const micro = (rate: number) => (1e6 / rate).toFixed(0)

const KEYS: [string, () => { privateKey: KeyObject; publicKey: KeyObject }][] = [
  ...['P-256', 'P-384', 'P-521', 'secp256k1'].map((namedCurve) => [namedCurve, () => generateKeyPairSync('ec', { namedCurve })] as const),
  ...[2048, 3072, 4096].map((modulusLength) => [`RSA ${modulusLength}`, () => generateKeyPairSync('rsa', { modulusLength })] as const),
].map(([name, make]) => [name, make])

/** File signatures: the bare check of OpenSSL, ours, and a whole log of signed files that the policy knows by their key alone. */
export function benchFileSignatures(): void {
  const rows = KEYS.map(([name, make]) => {
    const { privateKey, publicKey } = make()
    const digest = hash('sha256', 'a file', 'buffer')
    const signature = sign('sha256', Buffer.from('a file'), privateKey)
    const data = Buffer.from('a file')
    const digestInfo = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), digest])
    const bare = perSecond(() => expectTrue(verify('sha256', data, publicKey, signature)))
    const ours = perSecond(() => expectTrue(nativeVerifyDigest(publicKey, { digest, digestInfo }, signature)))
    const plain = name.startsWith('RSA') ? null : measurePlain(publicKey, { digest, digestInfo }, signature)
    const judged = judgedPerSecond(privateKey, publicKey)
    return [name, micro(bare), micro(ours), micro(judged), (bare / judged).toFixed(2), plain === null ? '' : micro(plain)]
  })
  printTable('file signatures, microseconds each', ['key', 'OpenSSL', 'ours', 'line of a log', 'ratio', 'in BigInt'], rows)
}

function expectTrue(good: boolean): void {
  if (!good) throw new Error('a signature of the benchmark is not good')
}

function measurePlain(key: KeyObject, signed: Parameters<typeof verifyDigest>[1], signature: Buffer): number {
  const start = performance.now()
  for (let i = 0; i < 50; i++) expectTrue(verifyDigest(key, signed, signature))
  return 50_000 / (performance.now() - start)
}

/** Lines per second of a log whose files are known by their signatures alone. */
function judgedPerSecond(privateKey: KeyObject, publicKey: KeyObject): number {
  const id = Buffer.alloc(4)
  id.writeUInt32BE(computedKeyId(publicKey))
  const lines = Array.from({ length: LINES }, (_, i) => {
    const signature = sign('sha256', Buffer.from(`${i}`), privateKey)
    const head = Buffer.concat([Buffer.from([3, 2, 4]), id, Buffer.from([signature.length >> 8, signature.length & 0xff])])
    const digest = createHash('sha256').update(`${i}`).digest('hex')
    return imaLine(`ima-sig sha256:${digest} /usr/bin/f${i} ${Buffer.concat([head, signature]).toString('hex')}`)
  })
  const all = [BOOT_AGGREGATE, ...lines]
  const keys = keyringText(new Map([[computedKeyId(publicKey), publicKey]]))
  const policy = imaPolicy(parseRuntimePolicy(runtimePolicy({ 'verification-keys': keys })), false, nativePcrReplay, nativeVerifyDigest)
  const evidence = { pcrs: quotedPcr10(pcr10After(all)), list: all.join('\n'), progress: FRESH_IMA, bootAggregates: [] }
  const start = performance.now()
  let done = 0
  for (; performance.now() - start < 1000; done += LINES) expectTrue(policy.judge(evidence).failures.length === 0)
  return (done / (performance.now() - start)) * 1000
}
