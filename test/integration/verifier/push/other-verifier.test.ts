import { startPostgres, type TestPostgres } from '../../../postgres.ts'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import { released } from '../../../simulated-push-agent.ts'

let server: TestPostgres
let bed: PushBed
beforeAll(async () => {
  server = await startPostgres()
  bed = new PushBed({ KEYLIME_VERIFIER_DATABASE_URL: server.url() })
  await bed.start()
})
afterAll(async () => {
  await bed.stop()
  await server.remove()
})

test('V that lies ready is given to nobody once another verifier attests the machine, though this one has not heard of it yet', async () => {
  const { agent } = await bed.takingMachine('moved')
  const { location } = await agent.attest()
  await bed.judged(agent)
  await until('V to lie ready', async () => (await bed.status('moved')).operational_state === 5)
  // An operator may have stopped or revoked it there. The trigger that tells of it is silent, as where the way to the server is cut.
  await server.query(`alter table keylime_verifier.leases disable trigger all;
    update keylime_verifier.leases set run = 'another', token = nextval('keylime_verifier.lease_tokens') where agent_id = 'moved';
    alter table keylime_verifier.leases enable trigger all`)
  const answer = await agent.askForV(location)
  expect((answer.status === 404 ? null : released(answer)?.encrypted_key) ?? null).toBeNull()
})

test('and it is given while this one attests it', async () => {
  const { agent, ordered } = await bed.takingMachine('stays')
  expect(await agent.fetchV()).toEqual(ordered.v)
})
