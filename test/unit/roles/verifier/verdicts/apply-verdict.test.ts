import type { DeliveryReport } from '../../../../../src/core/api/push/delivery.ts'
import type { AgentEvent } from '../../../../../src/core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../../../src/core/attestation/operational-state.ts'
import { fingerprint } from '../../../../../src/core/attestation/release.ts'
import { FRESH_PROGRESS, newState, type StoredState } from '../../../../../src/core/attestation/stored-agent.ts'
import { FRESH_IMA } from '../../../../../src/core/ima/ima-policy.ts'
import { irrecoverable } from '../../../../../src/core/verdict/failure.ts'
import { DEFAULT_SEVERITY } from '../../../../../src/core/verdict/severity.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createApplyVerdict, type VerdictOptions } from '../../../../../src/roles/verifier/verdicts/apply-verdict.ts'
import type { RoundVerdict } from '../../../../../src/roles/verifier/verdicts/keep-failed-round.ts'
import type { Along } from '../../../../../src/roles/verifier/verdicts/state-keeper.ts'

const S = OPERATIONAL_STATE
const ALGORITHMS = { hash: 'sha256', encryption: 'rsa', signing: 'rsassa' }
const CLOCK = { clock: 5n }
const IMA = { ...FRESH_IMA, entries: 7 }
const KEY = 'a transport key'
const STEADY = [{ do: 'ask_quote', afterSeconds: 2, partial: true }]
const OWN = { do: 'what the keeper says' }
const RELEASING = { v: 'Vg==', vState: 'releasing', vReleasedTo: fingerprint(KEY) } as const
const DELIVERY = { enrolment: 'e', generation: 4, orderedAt: 0, isKept: true, report: null }
const report = (changes: Partial<DeliveryReport> = {}): DeliveryReport => ({
  ...{ enrolment: 'e', generation: 4, state: 'unpacked', files: 1, script: 'none', proof: 'p' },
  ...{ script_exit: null, script_error: null, error: null },
  ...changes,
})

interface Changes {
  state?: Partial<StoredState>
  agent?: object
}

function bed({ state, agent: more }: Changes = {}) {
  const applied: [AgentEvent, Along | undefined][] = []
  const marked: unknown[] = []
  let monotonic = 9000
  const options = {
    keeper: {
      apply: async (_agent: unknown, event: AgentEvent, along?: Along) => {
        applied.push([event, along])
        return [OWN]
      },
    },
    progress: { mark: (agent: unknown) => marked.push(agent) },
    clock: { now: () => 1_700_000_000_999, monotonic: () => monotonic },
    severity: DEFAULT_SEVERITY,
    bootPolicy: 'example',
    quoteInterval: 2,
  } as unknown as VerdictOptions
  const agent = {
    enrolment: { agentId: 'a', ak: '', tpmPolicy: '{}' },
    connection: {},
    state: { ...newState(null, '2.6'), operational: S.GET_QUOTE, transportKey: KEY, algorithms: ALGORITHMS, ...state },
    progress: { ...FRESH_PROGRESS, attestationCount: 3, lastSuccessfulAttestation: 1 },
    delivery: null,
    retries: 0,
    unstored: null,
    evidenceStored: 0,
    ...more,
  } as unknown as ManagedAgent
  const apply = createApplyVerdict(options)
  const judged = (verdict: object, said: DeliveryReport | null = null) =>
    apply(agent, {
      judged: { hashAlg: 'sha256', kept: { evidence: null, cut: [] }, verdict: { clockInfo: CLOCK, ima: IMA, algorithms: ALGORITHMS, ...verdict }, report: said },
      policy: { imaJudgedBy: 'policy 2', tpm: { mask: 0, allowed: new Map() }, ima: null, refs: { runtime: null, mb: null } },
      attestationCount: 3,
    } as unknown as RoundVerdict)
  return {
    agent,
    applied,
    marked,
    judged,
    passed: (transportKey: string | null = KEY, said: DeliveryReport | null = null) => judged({ outcome: 'passed', transportKey }, said),
    pass: (ms: number) => (monotonic += ms),
  }
}

test('in the steady state only counters change, and the machine is asked again after the interval', async () => {
  const { agent, applied, marked, passed } = bed()
  expect(await passed()).toEqual(STEADY)
  expect(applied).toEqual([])
  expect(marked).toEqual([agent])
  expect(agent.lastJudged).toBe(9000)
  expect(agent.progress).toEqual({
    ...{ attestationCount: 4, lastReceivedQuote: 1_700_000_000, lastSuccessfulAttestation: 1_700_000_000 },
    ...{ clockInfo: CLOCK, ima: IMA, imaJudgedBy: 'policy 2' },
  })
})

test('a failed round is received and judged, and no success', async () => {
  const { agent, applied, marked, judged } = bed()
  const failures = [irrecoverable('pcr_validation', 'invalid_pcr_7', { message: 'm' })]
  expect(await judged({ outcome: 'failed', failures })).toEqual([OWN])
  expect(applied).toMatchObject([
    [{ type: 'quote_failed', judgement: { failures: [{ eventId: 'pcr_validation.invalid_pcr_7' }] } }, { failedRound: { lastGood: 1 } }],
  ])
  expect(agent.progress).toEqual({
    ...{ attestationCount: 3, lastReceivedQuote: 1_700_000_000, lastSuccessfulAttestation: 1 },
    ...{ clockInfo: null, ima: IMA, imaJudgedBy: 'policy 2' },
  })
  expect([agent.lastJudged, marked]).toEqual([9000, []])
})

test('a machine that was rebooted is asked for its whole log almost at once, and nothing is said of it', async () => {
  const { agent, applied, judged } = bed()
  expect(await judged({ outcome: 'again' })).toEqual([{ do: 'ask_quote', afterSeconds: 0.1, partial: false }])
  expect(agent.progress).toEqual({
    ...{ attestationCount: 3, lastReceivedQuote: 1_700_000_000, lastSuccessfulAttestation: 1 },
    ...{ clockInfo: CLOCK, ima: IMA, imaJudgedBy: 'policy 2' },
  })
  expect(applied).toEqual([])
})

test.each<[string, Changes]>([
  ['after a failure', { state: { operational: S.INVALID_QUOTE } }],
  ['with another transport key', { state: { transportKey: 'another' } }],
  ['the first time', { state: { algorithms: null } }],
  ['while failures stand there', { state: { failures: [irrecoverable('internal', 'x', { message: 'm' })] } }],
  ['after a try that failed', { agent: { retries: 1 } }],
  ['while a failure of it is not stored', { agent: { unstored: 'the disk is full' } }],
])('what passes %s is stored', async (_when, changes) => {
  const { applied, passed } = bed(changes)
  expect(await passed()).toEqual([OWN])
  const stored = { transportKey: KEY, algorithms: ALGORITHMS, failures: [] }
  expect(applied).toEqual([
    [
      { type: 'quote_passed', vIsDue: false },
      { changes: stored, report: null },
    ],
  ])
})

test('whose evidence binds no key, its key is no news', async () => {
  const { applied, passed } = bed({ state: { transportKey: 'another', v: 'Vg==', vState: 'held' }, agent: { connection: null } })
  expect(await passed(null)).toEqual(STEADY)
  expect(applied).toEqual([])
})

test.each<[string, Partial<StoredState>]>([
  ['for the first time', { v: 'Vg==', vState: 'held' }],
  ['again, to the key that it went to', RELEASING],
])('V is released %s', async (_when, state) => {
  const { applied, passed } = bed({ state })
  expect(await passed()).toEqual([OWN])
  const released = { vState: 'releasing', vReleasedTo: fingerprint(KEY), transportKey: KEY }
  expect(applied).toEqual([
    [
      { type: 'quote_passed', vIsDue: true },
      { changes: { ...released, algorithms: ALGORITHMS, failures: [] }, report: null },
    ],
  ])
})

test('V is released to no second key', async () => {
  const { applied, passed } = bed({ state: RELEASING })
  await passed('a second key')
  expect(applied).toEqual([
    [{ type: 'refused', stage: 'v', reason: expect.stringContaining('V was sent to another transport key') }, undefined],
  ])
})

const OFFERED = { state: { ...RELEASING, operational: S.PROVIDE_V }, agent: { connection: null } }

describe('a machine that fetches V', () => {
  test('has it offered again by each evidence that binds the key, and by no other', async () => {
    const { applied, passed } = bed(OFFERED)
    expect(await passed(KEY)).toEqual([{ do: 'deliver_v' }])
    expect(await passed(null)).toEqual(STEADY)
    expect(applied).toEqual([])
  })
  test.each<[string, Changes, string | null]>([
    ['is asked', { ...OFFERED, agent: { connection: {} } }, KEY],
    ['has failures', { ...OFFERED, state: { ...OFFERED.state, failures: [irrecoverable('internal', 'x', { message: 'm' })] } }, KEY],
    ['has a failure that is not stored', { ...OFFERED, agent: { connection: null, unstored: 'x' } }, KEY],
    ['has another state', { ...OFFERED, state: { ...OFFERED.state, operational: S.INVALID_QUOTE } }, KEY],
    ['has another key', OFFERED, 'another'],
    ['has V that was not released', { ...OFFERED, state: { ...OFFERED.state, vState: 'held' } }, KEY],
  ])('has its verdict stored when it %s', async (_when, changes, transportKey) => {
    const { applied, passed } = bed(changes)
    expect(await passed(transportKey)).toEqual([OWN])
    expect(applied).toHaveLength(1)
  })
})

describe('what a machine says of its delivery', () => {
  const releasing = { state: { ...RELEASING, operational: S.PROVIDE_V }, agent: { delivery: DELIVERY } }
  test('with a proof of K ends the release, and V is erased with that word', async () => {
    const { applied, passed } = bed(releasing)
    expect(await passed(KEY, report())).toEqual([OWN])
    expect(applied).toEqual([
      [{ type: 'quote_passed', vIsDue: false }, { changes: { transportKey: KEY, algorithms: ALGORITHMS, failures: [] } }],
      [{ type: 'v_delivered' }, { changes: { v: null, vState: 'delivered' }, report: report() }],
    ])
  })
  test.each<[string, Changes, DeliveryReport]>([
    ['without a proof', releasing, report({ proof: null })],
    ['of a V that was not released', { ...releasing, state: { v: 'Vg==', vState: 'held' } }, report()],
    ['of another delivery', releasing, report({ enrolment: 'f' })],
    ['of an older delivery', releasing, report({ generation: 3 })],
    ['of one that nobody ordered', { state: releasing.state }, report()],
  ])('ends nothing %s', async (_what, changes, said) => {
    const { applied, passed } = bed(changes)
    await passed(KEY, said)
    expect(applied.map(([{ type }]) => type)).toEqual(['quote_passed'])
  })
  test('is stored in the steady state when it is new, and when it is not it is not', async () => {
    const { agent, applied, passed } = bed({ agent: { delivery: DELIVERY } })
    const said = report({ proof: null, state: 'waiting' })
    expect(await passed(KEY, said)).toEqual([OWN])
    expect(applied[0]![1]).toMatchObject({ report: said })
    agent.delivery = { ...DELIVERY, report: said }
    expect(await passed(KEY, said)).toEqual(STEADY)
    expect(applied).toHaveLength(1)
  })
  test('goes with the release that it came with', async () => {
    const { applied, passed } = bed({ state: { v: 'Vg==', vState: 'held' }, agent: { delivery: DELIVERY } })
    const said = report({ proof: null, state: 'waiting' })
    await passed(KEY, said)
    expect(applied).toMatchObject([[{ type: 'quote_passed', vIsDue: true }, { report: said }]])
  })
  test('is heard twenty times at once and then once a minute, but a proof of K always', async () => {
    const { agent, applied, passed, pass } = bed({ agent: { delivery: DELIVERY } })
    let files = 0
    const speak = () => passed(KEY, report({ proof: null, state: 'waiting', files: ++files }))
    for (let i = 0; i < 25; i++) await speak()
    expect(applied).toHaveLength(20)
    pass(59_000)
    await speak()
    expect(applied).toHaveLength(20)
    pass(1500)
    await speak()
    expect(applied).toHaveLength(21)
    agent.state = { ...agent.state, ...RELEASING }
    await passed(KEY, report())
    expect(applied.at(-1)![0].type).toBe('v_delivered')
  })
})
