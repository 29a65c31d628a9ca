import type { AgentEvent } from '../../../../src/core/attestation/agent-state.ts'
import { newState, type StoredState } from '../../../../src/core/attestation/stored-agent.ts'
import { attestationEvents } from '../../../../src/core/events/attestation-events.ts'
import { enrolmentEvent } from '../../../../src/core/events/enrolment-event.ts'
import { eventText } from '../../../../src/core/events/event-text.ts'
import { overBudget } from '../../../../src/core/judging/over-budget.ts'
import { failure, irrecoverable } from '../../../../src/core/verdict/failure.ts'
import { DEFAULT_SEVERITY, judge } from '../../../../src/core/verdict/severity.ts'
import { OPERATOR } from '../../../verifier-events.ts'

const FRESH = newState('VSECRET', '2.6')
const ATTESTED: StoredState = { ...FRESH, operational: 3, algorithms: { hash: 'sha256', encryption: 'rsa', signing: 'rsassa' } }
const PASSED: AgentEvent = { type: 'quote_passed', vIsDue: false }

const events = (event: AgentEvent, before: StoredState, after: Partial<StoredState> = {}) =>
  attestationEvents({ agentId: 'a', event, before, after: { ...before, ...after } })

const pcr = (n: number) => failure('pcr_validation', `invalid_pcr_${n}`, { message: `PCR ${n}`, pcr: n, got: 'aa', expected: ['bb'] })
const lenient = { labels: ['low', 'high'], rules: [{ eventId: /.*/, label: 'low' }] }

test('the steady state, and a machine that a restarted verifier takes up, tell nothing', () => {
  expect(events(PASSED, ATTESTED)).toEqual([])
  expect(events(PASSED, { ...ATTESTED, operational: 1 })).toEqual([])
})

test('the first good attestation, with the release of V', () => {
  const after = { vState: 'releasing', vReleasedTo: 'fingerprint' } as const
  expect(events({ type: 'quote_passed', vIsDue: true }, FRESH, after)).toEqual([
    { type: 'agent_attested', agent_id: 'a' },
    { type: 'v_released', agent_id: 'a', transport_key_sha256: 'fingerprint', again: false },
  ])
  expect(events({ type: 'quote_passed', vIsDue: true }, { ...ATTESTED, ...after })).toEqual([
    { type: 'v_released', agent_id: 'a', transport_key_sha256: 'fingerprint', again: true },
  ])
  expect(events({ type: 'v_delivered' }, { ...ATTESTED, ...after }, { v: null, vState: 'delivered' })).toEqual([
    { type: 'v_delivered', agent_id: 'a', transport_key_sha256: 'fingerprint' },
  ])
})

test('good again: after a failure, and after it could not be reached', () => {
  expect(events(PASSED, { ...ATTESTED, failures: [pcr(15)] }, { failures: [] })).toEqual([
    { type: 'agent_recovered', agent_id: 'a', after: 'pcr_validation.invalid_pcr_15' },
  ])
  const silent = irrecoverable('internal', 'verifier.not_reachable_v', { message: 'ECONNREFUSED' })
  expect(events(PASSED, { ...ATTESTED, failures: [silent] }, { failures: [] })).toEqual([{ type: 'agent_back', agent_id: 'a' }])
})

test('a failure tells what failed, worst first, and how many there are', () => {
  const policy = {
    labels: ['low', 'high'],
    rules: [
      { eventId: /_15$/, label: 'high' },
      { eventId: /.*/, label: 'low' },
    ],
  }
  const judgement = judge([...Array.from({ length: 20 }, (_, n) => pcr(n))], policy)
  const [event, ...none] = events({ type: 'quote_failed', judgement }, ATTESTED, { operational: 9, failures: judgement.failures })
  expect(none).toEqual([])
  expect(event).toMatchObject({ type: 'agent_failed', agent_id: 'a', recoverable: false, severity_label: 'high', failure_count: 20 })
  const { failures } = event as Extract<typeof event, { type: 'agent_failed' }>
  expect(failures.length).toBe(10)
  expect(failures[0]).toEqual({
    event_id: 'pcr_validation.invalid_pcr_15',
    severity_label: 'high',
    recoverable: true,
    message: 'PCR 15',
    what: 'PCR 15',
    found: 'aa',
    expected: ['bb'],
    expected_count: 1,
  })
})

test.each([
  ['time', 60_000, 'judging evidence for agent a took longer than 60000 ms and was ended'],
  ['memory', 0, 'judging evidence for agent a needed more memory than it may and was ended'],
] as const)('evidence that cannot be judged within the budget of %s tells that too, once', (what, budget_ms, text) => {
  const verdict = overBudget({ what, bytes: 1 << 20, seconds: 60 })
  const judgement = judge('failures' in verdict ? verdict.failures : [], DEFAULT_SEVERITY)
  const after = { operational: 9, failures: judgement.failures, polled: false } as const
  const told = events({ type: 'quote_failed', judgement }, ATTESTED, after)
  expect(told).toMatchObject([{ type: 'agent_failed' }, { type: 'judging_budget_exceeded', agent_id: 'a', budget_ms }])
  expect(eventText(told[1]!)).toBe(text)
  expect(events({ type: 'quote_failed', judgement }, { ...ATTESTED, ...after }, after)).toEqual([])
})

test('a machine that goes on failing in the same way tells nothing new; in another way it does', () => {
  const judgement = judge([pcr(15)], lenient)
  const failing: StoredState = { ...ATTESTED, operational: 9, failures: judgement.failures }
  expect(judgement.recoverable).toBe(true)
  expect(events({ type: 'quote_failed', judgement }, failing)).toEqual([])
  const other = judge([pcr(16)], lenient)
  expect(events({ type: 'quote_failed', judgement: other }, failing, { failures: other.failures })).toMatchObject([
    { type: 'agent_failed' },
  ])
  const final = judge([pcr(15)], DEFAULT_SEVERITY)
  expect(events({ type: 'quote_failed', judgement: final }, failing, { failures: final.failures })).toMatchObject([
    { type: 'agent_failed', recoverable: false },
  ])
  const refused = { ...failing, polled: false } // one that brings its evidence may go on (auto_recover_attestation_failures)
  expect(events({ type: 'quote_failed', judgement: final }, refused, { failures: final.failures })).toEqual([])
})

test('unreachable is told once, when tries are used up', () => {
  const event: AgentEvent = { type: 'unreachable', stage: 'quote', attestedBefore: true, reason: 'ECONNREFUSED' }
  expect(events(event, ATTESTED, { operational: 4 })).toEqual([])
  expect(events(event, { ...ATTESTED, operational: 4 }, { operational: 7 })).toEqual([
    { type: 'agent_unreachable', agent_id: 'a', stage: 'quote', reason: 'ECONNREFUSED' },
  ])
  expect(events(event, { ...ATTESTED, operational: 7 }, { operational: 7 })).toEqual([])
})

test.each(['refused', 'version_unsupported', 'exception'] as const)('%s is a failure that ends attestation', (type) => {
  const failures = [irrecoverable('internal', 'verifier.x', { message: 'why' })]
  const event = { type, stage: 'quote', reason: 'why' } as AgentEvent
  expect(events(event, ATTESTED, { operational: 7, failures })).toMatchObject([
    { type: 'agent_failed', recoverable: false, failures: [{ event_id: 'internal.verifier.x', message: 'why' }] },
  ])
})

test('what cannot be taken up says why; commands are told by who takes them', () => {
  expect(events({ type: 'not_taken_up', reason: 'no policy' }, ATTESTED)).toEqual([
    { type: 'agent_not_taken_up', agent_id: 'a', reason: 'no policy' },
  ])
  expect([...events({ type: 'stopped' }, ATTESTED), ...events({ type: 'reactivated' }, ATTESTED)]).toEqual([])
})

test('no event holds a secret of the agent that it is about', () => {
  const secrets = { v: 'VSECRET', transportKey: 'KEYSECRET' }
  const state: StoredState = { ...ATTESTED, ...secrets, vState: 'releasing', vReleasedTo: 'fingerprint' }
  const judgement = judge([pcr(15)], DEFAULT_SEVERITY)
  const told = [
    { type: 'quote_passed', vIsDue: true },
    { type: 'v_delivered' },
    { type: 'quote_failed', judgement },
    { type: 'unreachable', stage: 'v', attestedBefore: true, reason: 'gone' },
    { type: 'refused', stage: 'v', reason: 'no' },
    { type: 'not_taken_up', reason: 'no' },
  ].flatMap((event) => events(event as AgentEvent, { ...FRESH, ...secrets }, { ...state, operational: 7, failures: judgement.failures }))
  const enrolment = {
    agentId: 'a',
    verifierId: 'default',
    ip: '2001:db8::1',
    port: 9002,
    verifierIp: '',
    verifierPort: 0,
    tpmPolicy: '{"15":["TPMPOLICYSECRET"]}',
    runtimePolicy: 'fleet',
    mbPolicy: null,
    imaKeys: 'KEYSECRET',
    metaData: 'METASECRET',
    revocationKey: 'KEYSECRET',
    accepted: { hash: [], encryption: [], signing: [] },
    ak: 'KEYSECRET',
    mtlsCertificate: 'CERTSECRET',
  }
  const refs = { runtime: { name: 'fleet', sha256: 'aa' }, mb: null }
  const enrolled = enrolmentEvent('agent_enrolled', { agent: { enrolment, state }, refs, warnings: 2, operator: OPERATOR })
  expect(enrolled).toMatchObject({
    address: '[2001:db8::1]:9002',
    has_v: true,
    runtime_policy: { name: 'fleet', sha256: 'aa' },
    warnings: 2,
  })
  expect(told.length).toBe(7)
  expect(JSON.stringify([...told, enrolled])).not.toContain('SECRET')
})
