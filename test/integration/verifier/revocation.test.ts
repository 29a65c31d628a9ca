import { createPublicKey } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { verifyRevocation } from '../../../src/core/revocation/signature.ts'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { subscribe } from '../../../src/io/zeromq/subscriber.ts'
import { type RunningVerifier, startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { adminClient, freePorts, temporaryKeylimeDir, testLogger, until } from '../../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'

const notifier = rsaKeyPair()
const hooks: string[] = []
const published: string[] = []
let zeromqPort: number
let hookStatus = 500
const webhook = http.createServer(async (request, response) => {
  let text = ''
  for await (const chunk of request) text += chunk
  if (hookStatus === 200) hooks.push(text)
  response.writeHead(hookStatus).end()
})
let home: ReturnType<typeof temporaryKeylimeDir>
let verifier: RunningVerifier
let admin: ApiClient
const agents = new Map<string, SimulatedAgent>()
const notices = new Map<string, { msg: string; signature: string }[]>()

async function start(): Promise<void> {
  verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
  admin = adminClient(home.dir, verifier.port)
}
async function stop(): Promise<void> {
  await admin.close()
  await verifier.stop()
}

beforeAll(async () => {
  await new Promise<void>((done) => webhook.listen(0, '127.0.0.1', done))
  ;[zeromqPort] = (await freePorts(1)) as [number]
  home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_QUOTE_INTERVAL: '0',
    KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent', 'webhook', 'zeromq']",
    KEYLIME_VERIFIER_REVOCATIONS_ZMQ_PORT: String(zeromqPort),
    KEYLIME_VERIFIER_REVOCATIONS_WEBHOOK_URL: `http://127.0.0.1:${(webhook.address() as AddressInfo).port}/hook?x=1`,
  })
  await start()
  for (const id of ['victim', 'peer-1', 'peer-2', 'sleeper']) await enrol(id)
})
afterAll(async () => {
  await stop()
  for (const agent of agents.values()) await agent.stop().catch(() => {})
  webhook.closeAllConnections()
  webhook.close()
  home.remove()
})

async function enrol(id: string): Promise<void> {
  const agent = await simulatedAgent(fs.readFileSync(path.join(home.dir, 'cv_ca/cacert.crt'), 'utf8'))
  agents.set(id, agent)
  notices.set(id, [])
  agent.onNotification = (envelope) => notices.get(id)!.push(envelope)
  const body = enrolmentBody(agent, {
    tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' }),
    metadata: '{"cert_serial": 5, "subject": "CN=victim"}',
    revocation_key: notifier.privateKey.export({ format: 'pem', type: 'pkcs8' }),
  })
  expect((await admin.request('POST', `/v2.6/agents/${id}`, { body })).status).toBe(200)
  await until(
    `${id} attested`,
    async () => ((await admin.request('GET', `/v2.6/agents/${id}`)).results as { operational_state: number }).operational_state === 3,
  )
}

// biome-ignore lint/suspicious/noExplicitAny: the report as it came
const report = async (): Promise<any> =>
  ((await admin.request('GET', '/v2.6/revocations')).results as { revocations: unknown[] }).revocations[0]

test('with quote_interval 0 an agent is asked without pause', async () => {
  await until('a hundred quotes', () => agents.get('peer-1')!.quotes.length > 100)
})

test('a failed machine is announced, signed, to all agents; who is down is told when it comes back, over a restart of the verifier', async () => {
  await agents.get('sleeper')!.stop()
  agents.get('victim')!.pcrs.set(15, Buffer.alloc(32, 1))
  await until('peers told', () => notices.get('peer-1')!.length > 0 && notices.get('peer-2')!.length > 0)
  const { msg, signature } = notices.get('peer-1')![0]!
  const { message } = verifyRevocation(createPublicKey(notifier.publicKey.export({ format: 'pem', type: 'spki' })), msg, signature)
  expect(message).toMatchObject({
    type: 'revocation',
    agent_id: 'victim',
    event_id: 'pcr_validation.invalid_pcr_15',
    meta_data: '{"cert_serial": 5, "subject": "CN=victim"}',
  })
  await until('the failed one told too', () => notices.get('victim')!.length > 0)
  const before = await until('the report', async () => {
    const r = await report()
    return r.told.length === 3 ? r : null
  })
  expect(before.pending.map((p: { target: string }) => p.target).toSorted()).toEqual(['agent:sleeper', 'webhook', 'zeromq'])

  await stop()
  hookStatus = 200
  await start()
  await agents.get('sleeper')!.start()
  await until('sleeper told', () => notices.get('sleeper')!.length > 0)
  const take = async (message: Buffer) => void published.push(message.toString())
  const subscription = await subscribe({ host: '127.0.0.1', port: zeromqPort, maxBytes: 1 << 20, logger: silentLogger, take })
  await until('webhook and subscriber told', () => hooks.length > 0 && published.length > 0)
  await subscription.close()
  expect([...hooks, ...published].map((text) => JSON.parse(text))).toEqual([
    { msg, signature, verifier_signature: expect.any(String) },
    { msg, signature, verifier_signature: expect.any(String) },
  ])
  await until('nothing pending', async () => (await report()).pending.length === 0)
  expect([...notices.values()].map((list) => list.length)).toEqual([1, 1, 1, 1])
})

test.each([400, 404])('a machine that was attested cannot silence its revocation by answering %d', async (status) => {
  const id = `mute-${status}`
  await enrol(id)
  const told = notices.get('peer-1')!.length
  agents.get(id)!.answer.set('/quotes/integrity', () => ({ status, body: '{"code":400,"status":"no","results":{}}' }))
  const notice = await until('the notice', () => notices.get('peer-1')!.slice(told)[0])
  expect(JSON.parse(notice.msg)).toMatchObject({ type: 'revocation', agent_id: id, event_id: 'internal.verifier.no_quote' })
  expect(verifyRevocation(notifier.publicKey, notice.msg, notice.signature)).toBeTruthy()
})
