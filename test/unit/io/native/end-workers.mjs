// Arguments: the addon, and how many threads end in the middle of calls into it, one after the other.
import { Worker } from 'node:worker_threads'

const code = `
const m = { exports: {} }
process.dlopen(m, ${JSON.stringify(process.argv[2])})
const { PcrReplay, DigestVerifier } = m.exports
const { createHash, generateKeyPairSync, sign } = require('node:crypto')
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spki = publicKey.export({ type: 'spki', format: 'der' })
const data = Buffer.alloc(80, 1)
const hash = createHash('sha1').update(data).digest('hex')
const digest = createHash('sha256').update(data).digest()
const signature = sign('sha256', data, privateKey)
const replay = () => new PcrReplay('sha1', 'sha256', Buffer.alloc(32), Buffer.alloc(32, 9))
const refused = [() => new PcrReplay('x', 'y', Buffer.alloc(0), Buffer.alloc(1)), () => new DigestVerifier(data), () => pcr.extendIf('x', 'y')]
const pcr = replay()
require('node:worker_threads').parentPort.postMessage('begun')
for (let i = 0; ; i++) {
  pcr.extendIf(data, hash)
  pcr.extend(null)
  pcr.value()
  replay()
  if (i % 5 === 0) new DigestVerifier(spki).verify(digest, signature)
  try { refused[i % 3]() } catch {}
}
`
for (let i = 0; i < Number(process.argv[3]); i++) {
  const worker = new Worker(code, { eval: true })
  await new Promise((done) => worker.once('message', done))
  await new Promise((done) => setTimeout(done, i % 8))
  await worker.terminate()
}
