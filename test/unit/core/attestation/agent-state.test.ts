import { type AgentEvent, type AgentState, isAskedOn, nextState } from '../../../../src/core/attestation/agent-state.ts'
import { retryDelay } from '../../../../src/core/attestation/retry-delay.ts'
import { failure, irrecoverable } from '../../../../src/core/verdict/failure.ts'
import { DEFAULT_SEVERITY, judge } from '../../../../src/core/verdict/severity.ts'

const timing = { quoteInterval: 2, retryInterval: 2, exponentialBackoff: true, maxRetries: 5 }
const start: AgentState = { operational: 1, retries: 0, announcedSeverity: null, trusted: false }
const run = (state: AgentState, ...events: AgentEvent[]) => {
  let last = { state, effects: [] as ReturnType<typeof nextState>['effects'] }
  for (const event of events) last = nextState(last.state, event, timing)
  return last
}
const unreachable = (stage: 'quote' | 'v' = 'quote', attestedBefore = true): AgentEvent => ({
  type: 'unreachable',
  stage,
  attestedBefore,
  reason: 'x',
})
const bad = (policy = DEFAULT_SEVERITY): AgentEvent => ({
  type: 'quote_failed',
  judgement: judge([failure('pcr_validation', 'invalid_pcr_15', { message: 'x' })], policy),
})
const lenient = { labels: ['low', 'high'], rules: [{ eventId: /^.*$/, label: 'low' }] }

test('a good first quote leads to V, and V to regular quotes', () => {
  const passed = run(start, { type: 'quote_passed', vIsDue: true })
  expect(passed).toMatchObject({ state: { operational: 5 }, effects: [{ do: 'deliver_v' }] })
  expect(run(passed.state, { type: 'v_delivered' })).toMatchObject({
    state: { operational: 3 },
    effects: [{ do: 'ask_quote', afterSeconds: 2, partial: true }],
  })
})

test('silence is answered by 2, 4, 8, 16 and 32 seconds of waiting, then the agent is reported, and asked on', () => {
  let state = { ...start, operational: 3 } as AgentState
  const waits: number[] = []
  for (let i = 0; i < 5; i++) {
    const step = run(state, unreachable())
    state = step.state
    expect(state.operational).toBe(4)
    expect(step.effects).toEqual([{ do: 'ask_quote', afterSeconds: expect.any(Number), partial: false }])
    waits.push((step.effects[0] as { afterSeconds: number }).afterSeconds)
  }
  expect(waits).toEqual([2, 4, 8, 16, 32])
  const given = run(state, unreachable())
  expect(given.state.operational).toBe(7)
  expect(given.effects.map((e) => e.do)).toEqual(['record', 'announce', 'ask_quote'])
  expect(given.effects[1]).toMatchObject({ type: 'comm_error', failure: { eventId: 'internal.verifier.not_reachable' } })
  expect(run(given.state, unreachable()).effects.map((e) => e.do)).toEqual(['ask_quote'])
  expect(run(given.state, { type: 'quote_passed', vIsDue: false }).state).toMatchObject({ operational: 3, retries: 0 })
})

test('an agent that was never attested is not announced when it stays silent', () => {
  const end = run(start, ...Array.from({ length: 6 }, () => unreachable('quote', false)))
  expect(end.effects.map((e) => e.do)).toEqual(['record', 'ask_quote'])
})

test('V is never retried without a fresh quote, and its failures come to an end', () => {
  let state = start
  for (let i = 0; i < 5; i++) {
    const step = run(state, { type: 'quote_passed', vIsDue: true }, unreachable('v'))
    expect(step).toMatchObject({ state: { operational: 6 }, effects: [{ do: 'ask_quote', partial: false }] })
    state = step.state
  }
  expect(run(state, { type: 'quote_passed', vIsDue: true }, unreachable('v')).state.operational).toBe(7)
})

test('a failed quote is announced once for each rise in severity', () => {
  const first = run({ ...start, operational: 3 }, bad(lenient))
  expect(first.effects.map((e) => e.do)).toEqual(['record', 'announce', 'ask_quote'])
  expect(first.effects.at(-1)).toEqual({ do: 'ask_quote', afterSeconds: 0, partial: true }) // at once
  expect(first.state).toMatchObject({ operational: 9, announcedSeverity: 0 })
  expect(run(first.state, bad(lenient)).effects.map((e) => e.do)).toEqual(['record', 'ask_quote'])
  const worse = run(first.state, bad())
  expect(worse.effects.map((e) => e.do)).toEqual(['record', 'announce'])
})

test('a good quote after a recoverable failure leads back to regular quotes', () =>
  expect(run(start, bad(lenient), { type: 'quote_passed', vIsDue: false }).state.operational).toBe(3))
test('by default every failure ends polling', () => expect(run(start, bad()).effects.some((e) => e.do === 'ask_quote')).toBe(false))

test.each([
  [{ type: 'refused', stage: 'quote', reason: 'x' }, 'internal.verifier.no_quote'],
  [{ type: 'refused', stage: 'v', reason: 'x' }, 'internal.verifier.no_v'],
  [{ type: 'version_unsupported', reason: 'x' }, 'internal.verifier.version_not_supported'],
  [{ type: 'exception', reason: 'x' }, 'internal.verifier.exception'],
] as [AgentEvent, string][])('%j ends polling, and the others are told once where they may rely on the machine', (event, id) => {
  const end = run(start, event)
  expect(end).toMatchObject({ state: { operational: 7 }, effects: [{ do: 'record', failures: [{ eventId: id }] }] })
  expect(end.effects.length).toBe(1)
  const relied = run({ ...start, trusted: true }, event)
  expect(relied.effects).toMatchObject([{ do: 'record' }, { do: 'announce', type: 'revocation', failure: { eventId: id } }])
  expect(run(relied.state, event).effects.map((e) => e.do)).toEqual(['record'])
})

test('what cannot be taken up is the operator’s to mend: it is told to nobody, and tried again after a restart', () => {
  const event: AgentEvent = { type: 'not_taken_up', reason: 'the policy is gone' }
  const end = run({ ...start, trusted: true }, event)
  expect(end).toMatchObject({
    state: { operational: 7 },
    effects: [{ do: 'record', failures: [{ eventId: 'internal.verifier.not_taken_up' }] }],
  })
  expect([isAskedOn(event, end.effects), isAskedOn({ type: 'stopped' }, [])]).toEqual([true, false])
})

test('stop rests, reactivate forgets what was announced', () => {
  expect(run(start, { type: 'stopped' })).toMatchObject({ state: { operational: 10 }, effects: [] })
  expect(run({ ...start, operational: 9, retries: 3, announcedSeverity: 6 }, { type: 'reactivated' })).toMatchObject({
    state: { operational: 1, retries: 0, announcedSeverity: null },
    effects: [{ do: 'ask_quote', afterSeconds: 0, partial: false }],
  })
})

describe('the whole of a step', () => {
  const ask = (afterSeconds: number, partial: boolean) => ({ do: 'ask_quote', afterSeconds, partial }) as const
  const failure = (name: string) => expect.objectContaining({ eventId: `internal.verifier.${name}` })
  const record = (name: string) => ({ do: 'record', failures: [failure(name)] })
  const tell = (type: 'revocation' | 'comm_error', name: string) => ({ do: 'announce', type, failure: failure(name) })
  const HIGHEST = DEFAULT_SEVERITY.labels.length - 1
  const tired: AgentState = { operational: 3, retries: 4, announcedSeverity: 1, trusted: true }
  const silent = { ...tired, retries: 5 }
  test.each<[string, AgentState, AgentEvent, Partial<AgentState>, unknown[]]>([
    ['a good quote ends a row of tries', tired, { type: 'quote_passed', vIsDue: false }, { retries: 0 }, [ask(2, true)]],
    ['a good quote before V does not', tired, { type: 'quote_passed', vIsDue: true }, { operational: 5 }, [{ do: 'deliver_v' }]],
    ['V does', tired, { type: 'v_delivered' }, { retries: 0 }, [ask(2, true)]],
    ['stopping changes nothing else', tired, { type: 'stopped' }, { operational: 10 }, []],
    [
      'a reactivated machine begins anew',
      tired,
      { type: 'reactivated' },
      { operational: 1, retries: 0, announcedSeverity: null },
      [ask(0, false)],
    ],
    [
      'a refusal that is worse than what was told is told',
      tired,
      { type: 'refused', stage: 'v', reason: 'x' },
      { operational: 7, retries: 0, announcedSeverity: HIGHEST },
      [record('no_v'), tell('revocation', 'no_v')],
    ],
    [
      'one of a machine on which nobody relies is not',
      { ...tired, trusted: false },
      { type: 'refused', stage: 'quote', reason: 'x' },
      { operational: 7, retries: 0 },
      [record('no_quote')],
    ],
    [
      'nor is one that is as bad as what was told',
      { ...tired, announcedSeverity: HIGHEST },
      { type: 'exception', reason: 'x' },
      { operational: 7, retries: 0 },
      [record('exception')],
    ],
    ['a try of a quote is counted', tired, unreachable('quote'), { operational: 4, retries: 5 }, [ask(32, false)]],
    ['a try of V is counted', tired, unreachable('v'), { operational: 6, retries: 5 }, [ask(32, false)]],
    [
      'a machine that does not take V is told of, attested before or not',
      silent,
      unreachable('v', false),
      { operational: 7, retries: 6 },
      [record('not_reachable_v'), tell('comm_error', 'not_reachable_v'), ask(32, false)],
    ],
    [
      'a machine that gives no first quote is not',
      silent,
      unreachable('quote', false),
      { operational: 7, retries: 6 },
      [record('not_reachable'), ask(32, false)],
    ],
  ])('%s', (_what, state, event, changes, effects) => {
    expect(nextState(state, event, timing)).toEqual({ state: { ...state, ...changes }, effects })
  })

  test('a bad quote ends a row of tries, and is announced as a revocation', () => {
    const { state, effects } = run(tired, bad())
    expect(state).toEqual({ ...tired, operational: 9, retries: 0, announcedSeverity: HIGHEST })
    expect(effects.at(-1)).toMatchObject({ do: 'announce', type: 'revocation', failure: { eventId: 'pcr_validation.invalid_pcr_15' } })
  })

  test('where nothing is tried again, the first silence is told, and the delay is that of a first try', () => {
    expect(nextState({ ...tired, retries: 0 }, unreachable(), { ...timing, maxRetries: 0 })).toEqual({
      state: { ...tired, operational: 7, retries: 1 },
      effects: [record('not_reachable'), tell('comm_error', 'not_reachable'), ask(2, false)],
    })
    expect(nextState(tired, unreachable(), { ...timing, maxRetries: 0 }).effects).toEqual([ask(2, false)])
  })

  test.each<[string, AgentEvent, boolean]>([
    ['passed', { type: 'quote_passed', vIsDue: false }, true],
    ['passed and is given V', { type: 'quote_passed', vIsDue: true }, true],
    ['took V', { type: 'v_delivered' }, true],
    ['does not take what was sealed for it', { type: 'delivery_refused', reason: 'x' }, true],
    ['is silent', unreachable(), true],
    ['could not be taken up', { type: 'not_taken_up', reason: 'x' }, true],
    ['failed', bad(), false],
    ['failed in a way that it may mend', bad(lenient), true],
    ['says no', { type: 'refused', stage: 'quote', reason: 'x' }, false],
    ['was stopped', { type: 'stopped' }, false],
  ])('after a restart, a machine that %s is asked on or not', (_what, event, expected) => {
    expect(isAskedOn(event, nextState(tired, event, timing).effects)).toBe(expected)
  })
})

test('no delay is longer than an hour', () =>
  expect([11, 12, 40].map((attempt) => retryDelay(attempt, { ...timing, maxRetries: 99 }))).toEqual([2048, 3600, 3600]))

describe('severity', () => {
  const policy = {
    labels: ['info', 'warning', 'emergency'],
    rules: [
      { eventId: /^pcr_validation\.invalid_pcr_15$/, label: 'info' },
      { eventId: /^pcr_.*$/, label: 'unknown' },
    ],
  }
  const of = (...fs: Parameters<typeof judge>[0]) => judge(fs, policy)
  test('the first rule that matches in full decides', () =>
    expect(of(failure('pcr_validation', 'invalid_pcr_15', { message: '' })).worst.severityLabel).toBe('info'))
  test('an unknown label, and no rule at all, count as the highest', () => {
    expect(of(failure('pcr_validation', 'invalid_pcr_16', { message: '' })).worst.severityLabel).toBe('emergency')
    expect(of(failure('ima', 'pcr_mismatch', { message: '' })).worst.severityLabel).toBe('emergency')
  })
  test('what cannot be recovered from is always the highest', () => {
    const judged = judge([irrecoverable('pcr_validation', 'invalid_pcr_15', { message: '' })], policy)
    expect([judged.worst.severityLabel, judged.recoverable]).toEqual(['emergency', false])
  })
  test('the first of the highest names the round', () => {
    const low = failure('pcr_validation', 'invalid_pcr_15', { message: '' })
    expect(judge([low, failure('ima', 'a', { message: '' }), failure('ima', 'b', { message: '' })], policy).worst.eventId).toBe('ima.a')
  })
})

test.each([
  [2, true, 3, 8],
  [2, false, 3, 2],
  [1, true, 3, 1],
  [0.5, true, 3, 0.5],
  [-2, false, 1, 2],
])('delay of base %d, exponential %p, try %d is %d s', (retryInterval, exponentialBackoff, attempt, seconds) =>
  expect(retryDelay(attempt, { retryInterval, exponentialBackoff, maxRetries: 9 })).toBe(seconds),
)
