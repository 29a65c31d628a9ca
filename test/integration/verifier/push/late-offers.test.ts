import { setTimeout as sleep } from 'node:timers/promises'
import { BOOT_AGGREGATE, pcr10After, runtimePolicy } from '../../../ima.ts'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import { released, takingDelivery } from '../../../simulated-push-agent.ts'
import { walk } from '../../../thorough.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_SESSION_LIFETIME: '3600' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const content = (policy: string) => ({ runtime_policy: Buffer.from(policy).toString('base64') })
const GOOD = runtimePolicy({ digests: { boot_aggregate: ['b0'.repeat(32)] } })
const STRICTER = runtimePolicy({ digests: { boot_aggregate: ['b1'.repeat(32)] } })

test('V that was not fetched is not for a machine that was good once and has been silent since', async () => {
  const { agent, ordered } = await bed.takingMachine('hoards')
  const { location } = await agent.attest()
  await bed.judged(agent)
  await until('it to be unreachable', async () => (await bed.status('hoards')).operational_state === 7, 20)
  expect(released(await agent.askForV(location))).toMatchObject({ encrypted_key: null })
  expect(await agent.fetchV()).toEqual(ordered.v)
})

test('V is not for what passed by a policy that has been changed since', async () => {
  expect((await bed.admin.request('POST', '/v2.6/allowlists/fleet', { body: content(GOOD) })).status).toBe(201)
  const agent = bed.stranger('outdated')

  agent.takes = takingDelivery()
  agent.imaLines = [BOOT_AGGREGATE]
  agent.pcrs.set(10, pcr10After(agent.imaLines))
  await bed.enrol(agent, { ...bed.ordered('outdated').enrolment, runtime_policy_name: 'fleet' })
  const { location } = await agent.attest()
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pass' })
  expect((await bed.admin.request('PUT', '/v2.6/allowlists/fleet', { body: content(STRICTER) })).status).toBe(201)
  expect(released(await agent.askForV(location))).toMatchObject({ encrypted_key: null })
  await sleep(60) // the interval
  expect(await agent.fetchV()).toBeNull()
})

walk('a machine that falls silent with V before it is missed, also when it was unreachable before', async () => {
  const { agent } = await bed.takingMachine('silent-again')
  await until('it to be unreachable', async () => (await bed.status('silent-again')).operational_state === 7, 20)
  await agent.attest() // with its transport key: V is released to it
  await bed.judged(agent)
  expect(await bed.status('silent-again')).toMatchObject({ operational_state: 5 })
  await until('it to be unreachable again', async () => (await bed.status('silent-again')).operational_state === 7, 20)
})

test('a machine that passes again and again and never takes V adds nothing to history and audit log', async () => {
  const { agent } = await bed.takingMachine('never-takes')
  for (let i = 0; i < 6; i++) {
    await agent.attest()
    await bed.judged(agent)
    await sleep(60) // the interval
  }
  const { results } = await bed.admin.request('GET', '/v2.6/history?agent=never-takes')
  expect(JSON.stringify(results).match(/v_released/g)).toHaveLength(1)
})

walk('a machine that says something else of its delivery each time fills neither history nor audit log', async () => {
  const { agent, ordered } = await bed.takingMachine('chatters')
  for (let i = 0; i < 60; i++) {
    agent.takes!.report = ordered.report({ state: i % 2 ? 'failed' : 'refused', error: `reason ${i}`, proof: null })
    await agent.attest()
    await bed.judged(agent)
    await sleep(60) // the interval
  }
  const { results } = await bed.admin.request('GET', '/v2.6/history?agent=chatters')
  expect(JSON.stringify(results).match(/delivery_(ended|refused)/g)!.length).toBeLessThan(30)
})
