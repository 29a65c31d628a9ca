import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../../servers.ts'
import { SharedBed, type Side } from '../../../shared-bed.ts'
import { pushEnrolment, simulatedPushAgent } from '../../../simulated-push-agent.ts'

/** Five of these are silence. */
const bed = new SharedBed({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '1' })
beforeAll(() => bed.start(2))
afterAll(() => bed.stop())

test('a machine that brings no evidence is unreachable, though it proves its key at one verifier and the other in turns', async () => {
  let at: Side = bed.sides[0]!
  const ca = fs.readFileSync(path.join(at.home.dir, 'cv_ca/cacert.crt'), 'utf8')
  const agent = simulatedPushAgent('restless', () => ({ port: at.verifier.port, ca }))
  expect((await at.admin.request('POST', '/v2.6/agents/restless', { body: pushEnrolment(agent) })).status).toBe(200)
  await agent.attest()
  await bed.inState('restless', 3)
  const states: number[] = []
  for (let second = 0; second < 10 && states.at(-1) !== 7; second++) {
    at = bed.sides[second % 2]!
    expect((await agent.authenticate()).status).toBe(200)
    await sleep(1000)
    states.push((await bed.status('restless', at)).operational_state)
  }
  expect(states).toContain(7)
  at = bed.sides[0]!
  await agent.authenticate()
  await agent.attest()
  await until('good evidence', async () => (await bed.status('restless', at)).operational_state === 3)
})
