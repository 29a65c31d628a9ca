import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, testLogger, until } from '../../servers.ts'
import { SharedBed, type Side } from '../../shared-bed.ts'

/** Two verifiers with one webhook, which is away while one of them stores a notice for it, and goes. */
let isAway = true
/** Ids of the machines that it was told of. */
let told: string[] = []
const webhook = http.createServer(async (request, response) => {
  const body = (await request.toArray()).join('')
  if (!isAway) told.push(JSON.parse(JSON.parse(body).msg).agent_id)
  response.writeHead(isAway ? 503 : 200).end()
})
let bed: SharedBed

beforeAll(async () => {
  await new Promise<void>((done) => webhook.listen(0, '127.0.0.1', done))
  bed = new SharedBed({
    KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['webhook']",
    KEYLIME_VERIFIER_REVOCATIONS_WEBHOOK_URL: `http://127.0.0.1:${(webhook.address() as AddressInfo).port}/hook`,
  })
  await bed.start(2)
})
beforeEach(() => {
  isAway = true
  told = []
})
afterAll(async () => {
  await bed.stop()
  webhook.close()
})

async function revoke(id: string, side: Side): Promise<void> {
  expect(await bed.add(id, side)).toBe(200)
  expect((await side.admin.request('PUT', `/v2.6/agents/${id}/revoke`)).status).toBe(200)
  const tried = `select 1 from keylime_verifier.deliveries where target = 'webhook' and attempts > 0 and state = 'pending'`
  await until('a try', async () => (await bed.server.query(tried)).length > 0, 10)
}

async function stop(side: Side): Promise<void> {
  await side.admin.close()
  await side.verifier.stop()
}

test('a verifier that is started again at once tells a webhook what it had stored for it', async () => {
  const side = bed.sides[0]!
  await revoke('first', side)
  await stop(side)
  side.verifier = await startVerifier(loadVerifierSettings(side.home.env), testLogger('verifier'))
  side.admin = adminClient(side.home.dir, side.verifier.port)
  isAway = false
  await until('the notice', () => told.includes('first'), 20)
})

test('one that stays away, and whose machines are gone, is missed: another tells the webhook', async () => {
  const [stays, goes] = [bed.sides[0]!, bed.sides[1]!]
  expect(await bed.add('honest', stays)).toBe(200)
  await bed.inState('honest', 3, stays)
  await revoke('second', goes)
  await bed.end(goes)
  isAway = false
  await until('the notice', () => told.includes('second'), 20)
})
