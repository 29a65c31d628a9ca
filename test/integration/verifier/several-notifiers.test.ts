import { createPublicKey, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { verifyNotice } from '../../../src/core/revocation/signature.ts'
import { until } from '../../servers.ts'
import { SharedBed } from '../../shared-bed.ts'

/** Verifiers that share a database have notifier keys of their own; a machine knows that of the verifier that attests it. */
const bed = new SharedBed()

beforeAll(() => bed.start(2))
afterAll(() => bed.stop())

test('a machine believes the notice about a machine that another verifier attests', async () => {
  const [here, there] = [bed.sides[0]!, bed.sides[1]!]
  const [own, other] = [there, here].map(({ home }) => createPublicKey(fs.readFileSync(path.join(home.dir, 'notifier-cert.crt'), 'utf8')))
  const machine = await bed.machine('machine')
  const introduced: string[] = []
  machine.answer.set('/notifications/notifier', (_query, honest, body) => {
    introduced.push(String(body['certificate']))
    return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results: honest }) }
  })
  const heard: { msg: string; signature: string; verifier_signature?: string }[] = []
  machine.onNotification = (envelope) => void heard.push(envelope)
  expect(await bed.add('machine', there)).toBe(200)
  expect(await bed.add('stolen', here)).toBe(200)
  expect((await here.admin.request('PUT', '/v2.6/agents/stolen/revoke')).status).toBe(200)
  await until('the notice', () => heard.length > 0, 20)
  const { publicKey } = new X509Certificate(introduced.at(-1)!)
  expect([own, other].map((key) => key!.equals(publicKey))).toEqual([true, false])
  const { msg, signature, verifier_signature: verifierSignature } = heard[0]!
  expect(verifyNotice({ payload: null, verifier: publicKey }, { msg, signature, verifierSignature })?.message.agent_id).toBe('stolen')
})
