import { generateKeyPairSync, sign } from 'node:crypto'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { computedKeyId, keyringText } from '../../src/core/ima/keyring.ts'
import { BOOT_AGGREGATE, imaLine, runtimePolicy } from '../ima.ts'
import { digestOf, JudgedMachine } from '../judged-machine.ts'
import { Deployment } from './deployment.ts'

/** Evidence with so many files that only a signature makes good: in the executable a worker thread judges it, with the addon of the main thread. */
function evidence(files: number, curve: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
  const signature = sign('sha256', Buffer.from('content'), privateKey)
  const head = Buffer.alloc(9)
  head.set([3, 2, 4])
  head.writeUInt32BE(computedKeyId(publicKey), 3)
  head.writeUInt16BE(signature.length, 7)
  const line = imaLine(`ima-sig sha256:${digestOf('content')} /usr/bin/signed ${Buffer.concat([head, signature]).toString('hex')}`)
  const policy = runtimePolicy({ 'verification-keys': keyringText(new Map([[computedKeyId(publicKey), publicKey]])) })
  const bed = new JudgedMachine({ runtime: policy })
  const { answer, request } = bed.round({ lines: [BOOT_AGGREGATE, ...Array.from({ length: files }, () => line)] })
  const { quote, ima_measurement_list } = JSON.parse(answer.toString()).results
  const data = { quote, nonce: request.nonce, hash_alg: 'sha256', tpm_ak: bed.ak.public.toString('base64'), tpm_ek: '' }
  return JSON.stringify({ type: 'tpm', data: { ...data, runtime_policy: policy, ima_measurement_list } })
}

describe('evidence that anybody sends to the executable', () => {
  const d = new Deployment()
  beforeAll(() => d.start())
  afterAll(() => d.stop())

  async function post(body: string) {
    const port = Number(d.environment['KEYLIME_VERIFIER_PORT'])
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const options = { host: '127.0.0.1', port, path: '/v2.5/verify/evidence', method: 'POST', headers, rejectUnauthorized: false }
    return new Promise<{ status: number; body: { results: unknown } }>((resolve, reject) => {
      const request = https.request(options, async (response) =>
        resolve({ status: response.statusCode!, body: JSON.parse(await text(response)) }),
      )
      request.on('error', reject).end(body)
    })
  }

  test('is judged', async () => {
    expect(await post(evidence(200, 'P-256'))).toMatchObject({ status: 200, body: { results: { valid: true, failures: [] } } })
    expect(await post(evidence(1, 'P-256').replace('/usr/bin/signed', '/usr/bin/other'))).toMatchObject({
      status: 200,
      body: { results: { valid: false } },
    })
  })
  test('and may take two seconds of a processor', async () => {
    expect((await post(evidence(8000, 'P-521'))).status).toBe(503)
    expect((await post(evidence(1, 'P-256'))).status).toBe(200)
  })
})
