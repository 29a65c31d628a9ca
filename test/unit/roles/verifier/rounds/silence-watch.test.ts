import { jest } from '@jest/globals'
import type { AgentEvent } from '../../../../../src/core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../../../src/core/attestation/operational-state.ts'
import { type AgentTable, createAgentTable } from '../../../../../src/roles/verifier/agents/agent-table.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import type { AttestationRound } from '../../../../../src/roles/verifier/rounds/attestation-round.ts'
import { startSilenceWatch } from '../../../../../src/roles/verifier/rounds/silence-watch.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

let time: SimulatedTime
let agents: AgentTable
let events: (AgentEvent & { of: string; retries: number })[]
let watch: { stop(): void }
beforeEach(() => {
  time = simulatedTime()
  agents = createAgentTable()
  events = []
  const take = async (agent: ManagedAgent, round: AttestationRound) => {
    const { event } = (await round(agent)) as { event: AgentEvent }
    events.push({ ...event, of: agent.enrolment.agentId, retries: agent.retries })
    agent.retries++ // as the state machine counts
    agent.state = { ...agent.state, operational: OPERATIONAL_STATE.FAILED }
    return true
  }
  const troubleOf = ({ enrolment }: ManagedAgent) => (enrolment.agentId === 'troubled' ? 'no bank' : undefined)
  watch = startSilenceWatch({ agents, loop: { take }, clock: time.clock, timing: { quoteInterval: 2, maxRetries: 3 }, troubleOf })
})
afterEach(() => {
  watch.stop()
  jest.useRealTimers()
})

function waiting(agentId: string, changes: Record<string, unknown> = {}): ManagedAgent {
  const agent = {
    ...{ enrolment: { agentId }, connection: null, state: { polled: true }, progress: { attestationCount: 1 } },
    ...{ retries: 0, busy: false, lastJudged: time.clock.monotonic(), ...changes },
  } as unknown as ManagedAgent
  agents.add(agent)
  return agent
}

test('after five intervals without evidence a machine is unreachable, once, at the limit of its tries', async () => {
  waiting('silent')
  await time.pass(10_000)
  expect(events).toEqual([])
  await time.pass(1001)
  const reason = 'it brought no evidence for 10 s'
  expect(events).toEqual([{ of: 'silent', type: 'unreachable', stage: 'quote', attestedBefore: false, reason, retries: 3 }])
  await time.pass(30_000)
  expect(events).toHaveLength(1)
})

test('what went wrong last is in the reason; one that never proved itself is told of to nobody', async () => {
  waiting('troubled', { progress: { attestationCount: 0 } })
  await time.pass(12_000)
  expect(events).toMatchObject([{ attestedBefore: false, reason: expect.stringContaining('no bank') }])
})

test.each([
  ['is asked by the verifier', { connection: {} }],
  ['is not waited for', { state: { polled: false } }],
  ['is being judged', { busy: true }],
  ['was unreachable already', { state: { polled: true, operational: OPERATIONAL_STATE.FAILED } }],
])('a machine that %s is not missed', async (_what, changes) => {
  waiting('other', changes)
  await time.pass(15_000)
  expect(events).toEqual([])
})

test('one that came back is missed anew when it is silent again', async () => {
  const agent = waiting('back')
  await time.pass(12_000)
  agent.lastJudged = time.clock.monotonic()
  agent.state = { ...agent.state, operational: OPERATIONAL_STATE.PROVIDE_V } // which keeps its tries
  await time.pass(12_000)
  expect(events).toHaveLength(2)
})

test('while the verifier itself stood still nobody was silent; who brings nothing afterwards is', async () => {
  waiting('slept through')
  await time.pass(2000)
  time.leap(30_000)
  await time.pass(9000)
  expect(events).toEqual([])
  await time.pass(3000)
  expect(events).toMatchObject([{ of: 'slept through', type: 'unreachable' }])
})
