import { createFloodGuard } from '../../../../src/core/events/flood-guard.ts'
import type { VerifierEvent } from '../../../../src/core/events/verifier-event.ts'
import { oneOfEach } from '../../../verifier-events.ts'

const MINUTE = 60_000
const recovered = (agent_id: string): VerifierEvent => ({ type: 'agent_recovered', agent_id, after: 'ima.pcr_mismatch' })
const failed = (recoverable: boolean, agent_id = 'a'): VerifierEvent => ({
  type: 'agent_failed',
  agent_id,
  recoverable,
  severity_label: 'error',
  failures: [],
  failure_count: 0,
})

test('a machine that fails and recovers in turns is told twenty times at once, then once a minute, with the number of those left out', () => {
  const guard = createFloodGuard()
  const passed = Array.from({ length: 100 }, (_, i) => guard(recovered('a'), 1000 + i)).filter((event) => event !== null)
  expect(passed.length).toBe(20)
  expect(guard(recovered('a'), 1000 + MINUTE)).toEqual({ ...recovered('a'), suppressed: 80 })
  expect(guard(recovered('a'), 1001 + MINUTE)).toBeNull()
  expect(guard(recovered('a'), 1000 + 100 * MINUTE)).toEqual({ ...recovered('a'), suppressed: 1 })
  expect(Array.from({ length: 30 }, () => guard(recovered('a'), 1000 + 100 * MINUTE)).filter(Boolean).length).toBe(19)
})

test('one machine takes nothing from another one', () => {
  const guard = createFloodGuard()
  for (let i = 0; i < 50; i++) guard(recovered('a'), 0)
  expect(guard(recovered('b'), 0)).toEqual(recovered('b'))
})

test('a failure that ends attestation cannot be hidden behind a flood of others', () => {
  const guard = createFloodGuard()
  for (let i = 0; i < 50; i++) guard(failed(true), 0)
  expect(guard(failed(true), 0)).toBeNull()
  expect(guard(failed(false), 0)).toEqual(failed(false))
})

test('a machine that fails for good and recovers by itself in turns is told some times, and never as better than it is', () => {
  const guard = createFloodGuard()
  const turns = Array.from({ length: 500 }, (_, i) => guard(i % 2 === 0 ? failed(false) : recovered('a'), i * 100))
  const told = turns.filter((event) => event !== null)
  expect(told.length).toBeLessThan(50)
  expect(told.at(-1)).toMatchObject({ type: 'agent_failed' })
  expect(guard(recovered('a'), 100 * MINUTE)).toMatchObject({ suppressed: 230 })
  expect(guard(failed(false), 100 * MINUTE)).toMatchObject({ type: 'agent_failed' })
  expect(guard(failed(false, 'b'), 0)).toEqual(failed(false, 'b'))
})

test.each(['agent_enrolled', 'agent_updated', 'agent_reactivated', 'agent_attested', 'agent_back', 'v_released'])(
  'a failure after "%s" is told, however often the machine has failed before',
  (type) => {
    const guard = createFloodGuard()
    for (let i = 0; i < 30; i++) guard(failed(false), 0)
    expect(guard(failed(false), 0)).toBeNull()
    const [better] = oneOfEach().filter((event) => event.type === type)
    expect(guard({ ...better!, agent_id: 'a' } as VerifierEvent, 0)).not.toBeNull()
    expect(guard(failed(false), 0)).toMatchObject({ type: 'agent_failed', suppressed: 11 })
    expect(guard(failed(false), 0)).toBeNull()
  },
)

test('refusals of strangers take nothing from those of certificates', () => {
  const guard = createFloodGuard()
  const [refused] = oneOfEach().filter((event) => event.type === 'request_refused')
  const stranger: VerifierEvent = { ...refused!, peer: { kind: 'anonymous', common_name: null, sha256: null, address: '192.0.2.9' } }
  for (let i = 0; i < 50; i++) guard(stranger, 0)
  expect([guard(stranger, 0), guard(refused!, 0)]).toEqual([null, refused])
})

test('commands, the first release of V and revocations always pass', () => {
  const guard = createFloodGuard()
  const held = new Set([
    'agent_recovered',
    'agent_back',
    'agent_unreachable',
    'request_refused',
    'judging_budget_exceeded',
    'attestations_late',
    'attestations_in_time',
    'delivery_refused',
    'delivery_ended',
    'agent_failed',
  ])
  const each = oneOfEach().map((event) => (event.type === 'v_released' ? { ...event, again: false } : event))
  for (const event of each.filter(({ type }) => !held.has(type))) {
    for (let i = 0; i < 50; i++) expect(guard(event, 0)).toBe(event)
  }
})

test('V that is released again and again to the same key, and never taken, is told some times a minute', () => {
  const guard = createFloodGuard()
  const again: VerifierEvent = { type: 'v_released', agent_id: 'a', transport_key_sha256: 'aa', again: true }
  const told = Array.from({ length: 50 }, () => guard(again, 0)).filter((event) => event !== null)
  expect(told).toHaveLength(20)
  expect(guard({ ...again, again: false }, 0)).toMatchObject({ again: false })
})

test('the end tells what nobody was told', () => {
  const guard = createFloodGuard()
  for (let i = 0; i < 25; i++) guard(recovered('a'), 0)
  expect(guard({ type: 'verifier_stopped' }, 0)).toEqual({ type: 'verifier_stopped', suppressed: 5 })
})

test('a clock that is set back gives no more and takes nothing away', () => {
  const guard = createFloodGuard()
  for (let i = 0; i < 25; i++) guard(recovered('a'), 100 * MINUTE)
  expect(guard(recovered('a'), 0)).toBeNull()
  expect(guard(recovered('a'), MINUTE)).toEqual({ ...recovered('a'), suppressed: 6 })
})

test('of very many machines those that were told of longest ago are forgotten', () => {
  const guard = createFloodGuard()
  for (let i = 0; i < 25; i++) guard(recovered('first'), 0)
  for (let i = 0; i < 99_999; i++) guard(recovered(`agent-${i}`), 0)
  expect(guard(recovered('first'), 0)).toBeNull()
  for (let i = 0; i < 100_000; i++) guard(recovered(`other-${i}`), 0)
  expect(guard(recovered('first'), 0)).toEqual(recovered('first'))
})
