import { jest } from '@jest/globals'
import { OPERATIONAL_STATE, type OperationalState } from '../../../../../src/core/attestation/operational-state.ts'
import { type Logger, silentLogger } from '../../../../../src/io/log/logger.ts'
import { type AgentTable, createAgentTable } from '../../../../../src/roles/verifier/agents/agent-table.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { startWatchdog, type Watchdog } from '../../../../../src/roles/verifier/rounds/watchdog.ts'
import { type SimulatedTime, simulatedTime } from '../../../../simulated-time.ts'

const { START, GET_QUOTE, PROVIDE_V, FAILED, TERMINATED, INVALID_QUOTE, TENANT_FAILED } = OPERATIONAL_STATE
const INTERVAL = 2
/** Five intervals and ten seconds after its last verdict an agent is overdue; the watchdog looks every five seconds. */
const ALLOWED = 5 * INTERVAL * 1000 + 10_000
/** More, before the first verdict. */
const FIRST = 30_000
const PERIOD = 5000

let time: SimulatedTime
let agents: AgentTable
let reports: { message: string; fields: unknown }[]
let watchdog: Watchdog
beforeEach(() => {
  time = simulatedTime()
  agents = createAgentTable()
  reports = []
  const logger: Logger = { ...silentLogger, error: (message, fields) => void reports.push({ message, fields }) }
  watchdog = startWatchdog({ agents, clock: time.clock, logger, quoteInterval: INTERVAL })
})
afterEach(() => {
  watchdog.stop()
  jest.useRealTimers()
})

/** An agent with what the watchdog looks at; the rest of a managed agent is none of its business. */
function watched(agentId: string, operational: OperationalState = GET_QUOTE): ManagedAgent {
  const agent = {
    enrolment: { agentId },
    state: { operational },
    retries: 0,
    busy: false,
    lastJudged: time.clock.monotonic(),
  } as unknown as ManagedAgent
  agents.add(agent)
  return agent
}
const isJudged = (agent: ManagedAgent) => {
  agent.lastJudged = time.clock.monotonic()
}

test('an agent that is judged in time is never reported', async () => {
  const agent = watched('good')
  for (let i = 0; i < 20; i++) {
    await time.pass(PERIOD)
    isJudged(agent)
  }
  expect(reports).toEqual([])
})

test('an agent without a verdict is reported when it is overdue, not before, and once', async () => {
  watched('forgotten')
  await time.pass(ALLOWED)
  expect(reports).toEqual([])
  await time.pass(PERIOD)
  expect(reports).toEqual([{ message: 'agent forgotten has not been judged in time', fields: { state: GET_QUOTE, waiting: 'turn' } }])
  await time.pass(10 * PERIOD)
  expect(reports).toHaveLength(1)
})

test('one that was enrolled and not attested yet is reported later: the enrolments of others have precedence for half a minute', async () => {
  watched('new', START)
  await time.pass(ALLOWED + FIRST)
  expect([reports, watchdog.stuck()]).toEqual([[], null])
  await time.pass(PERIOD)
  expect(reports).toHaveLength(1)
  expect(watchdog.stuck()).not.toBeNull()
})

test('the report says when a round is running and has no answer', async () => {
  watched('slow').busy = true
  await time.pass(ALLOWED + PERIOD)
  expect(reports).toMatchObject([{ fields: { waiting: 'answer' } }])
})

test('one that was judged again and is forgotten again is reported again', async () => {
  const agent = watched('twice')
  await time.pass(ALLOWED + PERIOD)
  isJudged(agent)
  await time.pass(PERIOD)
  expect(reports).toHaveLength(1)
  await time.pass(ALLOWED + PERIOD)
  expect(reports).toHaveLength(2)
})

test.each([
  ['START', START],
  ['GET_QUOTE', GET_QUOTE],
  ['PROVIDE_V', PROVIDE_V],
])('an agent in state %s is watched', async (_name, state) => {
  watched('a', state)
  await time.pass(ALLOWED + FIRST + PERIOD)
  expect(reports).toMatchObject([{ fields: { state } }])
})

test.each([
  ['FAILED', FAILED],
  ['TERMINATED', TERMINATED],
  ['INVALID_QUOTE', INVALID_QUOTE],
  ['TENANT_FAILED', TENANT_FAILED],
])('an agent in state %s is not asked, and not missed', async (_name, state) => {
  watched('a', state)
  await time.pass(4 * ALLOWED)
  expect(reports).toEqual([])
})

test('an agent that cannot be reached is being tried again: that is no forgetting', async () => {
  const agent = watched('away')
  agent.retries = 1
  await time.pass(4 * ALLOWED)
  expect(reports).toEqual([])
  agent.retries = 0
  await time.pass(PERIOD)
  expect(reports).toHaveLength(1)
})

test('an agent that was deleted is not missed; of many only those that are overdue are named', async () => {
  watched('deleted')
  watched('forgotten')
  agents.remove('deleted')
  const good = watched('good')
  await time.pass(ALLOWED)
  isJudged(good)
  await time.pass(PERIOD)
  expect(reports.map(({ message }) => message)).toEqual(['agent forgotten has not been judged in time'])
})

test('the loop hangs when nobody at all is judged, not when one machine is forgotten, slow or away', async () => {
  expect(watchdog.stuck()).toBeNull()
  watched('forgotten')
  const [good, away] = [watched('good'), watched('away')]
  away.retries = 1
  watched('failed', FAILED)
  await time.pass(ALLOWED)
  isJudged(good)
  await time.pass(PERIOD)
  expect(watchdog.stuck()).toBeNull()
  await time.pass(ALLOWED)
  expect(watchdog.stuck()).toBe('none of 2 machines is judged any more')
  isJudged(good)
  expect(watchdog.stuck()).toBeNull()
})

test('a stopped watchdog is silent', async () => {
  watched('a')
  watchdog.stop()
  await time.pass(4 * ALLOWED)
  expect(reports).toEqual([])
})

test('when all are late, fifty are named and the rest are counted', async () => {
  for (let i = 0; i < 120; i++) watched(`late-${i}`)
  time.leap(ALLOWED)
  await time.pass(PERIOD)
  expect(reports).toHaveLength(51)
  expect(reports.at(-1)!.message).toBe('70 more agents have not been judged in time')
  await time.pass(PERIOD)
  expect(reports).toHaveLength(51)
})
