import { setTimeout as sleep } from 'node:timers/promises'
import { judgeAgain, readEvidence } from '../../../../src/core/explanation/stored-evidence.ts'
import { imaPolicy } from '../../../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../../ima.ts'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import type { SimulatedPushAgent } from '../../../simulated-push-agent.ts'

const bed = new PushBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const file = (name: string, digest = 'aa'.repeat(32)) => imaLine(`ima-ng sha256:${digest} ${name}`)
const POLICY = runtimePolicy({ digests: { boot_aggregate: ['b0'.repeat(32)], '/usr/bin/good': ['aa'.repeat(32)] } })
const base64 = (text: string) => Buffer.from(text).toString('base64')

async function measured(id: string, policy = POLICY): Promise<SimulatedPushAgent> {
  const agent = await bed.pushMachine(id, { runtime_policy: base64(policy) })
  setLines(agent, [BOOT_AGGREGATE])
  return agent
}

function setLines(agent: SimulatedPushAgent, lines: string[]): void {
  agent.imaLines = lines
  agent.pcrs.set(10, pcr10After(lines))
}

const passes = async (agent: SimulatedPushAgent) => {
  const count = (await bed.view(agent, 'latest'))?.evaluation
  await sleep(60) // the interval
  const sent = await agent.attest()
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pass' })
  return { ...sent, count }
}
const offsetOf = async (agent: SimulatedPushAgent) => {
  const { evidence_requested } = await bed.view(agent, 'latest')
  return evidence_requested.find((item: { evidence_type: string }) => item.evidence_type === 'ima_log').chosen_parameters.starting_offset
}

test('a list is judged as far as it is new, and an unknown file fails the machine with its evidence kept', async () => {
  const agent = await measured('grows')
  await passes(agent)
  expect(await offsetOf(agent)).toBe(0)
  setLines(agent, [BOOT_AGGREGATE, file('/usr/bin/good')])
  await passes(agent)
  expect(await offsetOf(agent)).toBe(1)
  setLines(agent, [...agent.imaLines!, file('/tmp/evil', 'ee'.repeat(32))])
  await sleep(60) // the interval
  await agent.attest()
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'fail', failure_reason: 'policy_violation' })
  const { results } = await bed.admin.request('GET', `/v2.6/agents/grows/explanation?evidence=1`)
  const { evidence } = results as { evidence: { content: unknown } }
  const stored = readEvidence(evidence.content)
  const policy = { tpm: parseTpmPolicy('{"mask":"0x0"}'), ima: imaPolicy(parseRuntimePolicy(POLICY), false), boot: null }
  expect(judgeAgain(stored, policy, [10, 16])).toMatchObject({ outcome: 'failed', failures: [{ context: { path: '/tmp/evil' } }] })
})

test('after a reboot the list is asked for from its first entry: by the boot time, by its length, or by the clock of the TPM', async () => {
  const agent = await measured('reboots')
  setLines(agent, [BOOT_AGGREGATE, file('/usr/bin/good')])
  await passes(agent)
  agent.bootTime = '2026-02-02T00:00:00+00:00'
  Object.assign(agent.clock, { value: 1n, resetCount: 2 })
  await passes(agent)
  expect(await offsetOf(agent)).toBe(0)
  Object.assign(agent.clock, { value: 1n, resetCount: 3 }) // it says nothing of it
  await sleep(60) // the interval
  await agent.attest()
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pending' }) // neither good nor bad
  expect(await offsetOf(agent)).toBe(2)
  await passes(agent)
  expect(await offsetOf(agent)).toBe(0)
})

test('a policy that changes between question and evidence makes no failure', async () => {
  await bed.admin.request('POST', '/v2.6/allowlists/shared', { body: { runtime_policy: base64(POLICY) } })
  const agent = await bed.pushMachine('between', { runtime_policy_name: 'shared' })
  setLines(agent, [BOOT_AGGREGATE, file('/usr/bin/good')])
  await passes(agent)
  await sleep(60) // the interval
  const opened = await agent.negotiate()
  const other = runtimePolicy({ digests: { boot_aggregate: ['b0'.repeat(32)], '/usr/bin/good': ['aa'.repeat(32), 'bb'.repeat(32)] } })
  expect((await bed.admin.request('PUT', '/v2.6/allowlists/shared', { body: { runtime_policy: base64(other) } })).status).toBeLessThan(300)
  expect((await agent.request('PATCH', String(opened.headers['location']), agent.evidence(opened), agent.token)).status).toBe(202)
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pending' })
  expect((await bed.status(agent.id)).failures).toEqual([])
  await passes(agent)
  expect(await offsetOf(agent)).toBe(0)
})

test('a list of megabytes is judged elsewhere, as that of a machine that is asked', async () => {
  const agent = await measured('large', runtimePolicy({ excludes: ['/srv/.*'] }))
  setLines(agent, [BOOT_AGGREGATE, ...Array.from({ length: 5000 }, (_, i) => file(`/srv/${i}`))])
  await agent.attest()
  await until('a verdict', async () => (await bed.status(agent.id)).attestation_count === 1)
})
