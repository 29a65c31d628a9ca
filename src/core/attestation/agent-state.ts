import { type Failure, irrecoverable } from '../verdict/failure.ts'
import { DEFAULT_SEVERITY, type JudgedFailure, type Judgement, judge } from '../verdict/severity.ts'
import { OPERATIONAL_STATE, type OperationalState } from './operational-state.ts'
import { type RetryPolicy, retryDelay } from './retry-delay.ts'

/** The part of an agent's record that decides what happens next. */
export interface AgentState {
  operational: OperationalState
  /** Failed tries in a row of the present step. */
  retries: number
  /** Severity of the worst failure announced since enrolment or reactivation; null when none was. */
  announcedSeverity: number | null
  /** Others may rely on it: it was attested since it was enrolled, or has been given V. */
  trusted: boolean
}

/** What happened to an agent. */
export type AgentEvent =
  | { type: 'quote_passed'; vIsDue: boolean }
  | { type: 'quote_failed'; judgement: Judgement }
  /** No usable answer: HTTP 408, 500, 599 of upstream. `attestedBefore`: there was a good quote since enrolment. */
  | { type: 'unreachable'; stage: 'quote' | 'v'; attestedBefore: boolean; reason: string }
  /** An answer that says no. */
  | { type: 'refused'; stage: 'quote' | 'v'; reason: string }
  | { type: 'version_unsupported'; reason: string }
  | { type: 'v_delivered' }
  /** It does not take what an operator sealed for it, and V did not leave: of the machine that says nothing, and it is attested on. */
  | { type: 'delivery_refused'; reason: string }
  /** A bug while judging, or a failing disk behind a verdict against it: fail closed (decision 151). */
  | { type: 'exception'; reason: string }
  /** What is stored cannot be worked with: a policy that is gone or not understood, an address that is none. */
  | { type: 'not_taken_up'; reason: string }
  | { type: 'stopped' }
  | { type: 'reactivated' }

export type AgentEffect =
  | { do: 'ask_quote'; afterSeconds: number; partial: boolean }
  /** Only ever the answer to a good quote: V is sent in the same round, to the key that this quote bound. */
  | { do: 'deliver_v' }
  /** Tell the others: `revocation` for a machine that is not what it should be, `comm_error` for one that fell silent. */
  | { do: 'announce'; type: 'revocation' | 'comm_error'; failure: Failure | JudgedFailure }
  | { do: 'record'; failures: (Failure | JudgedFailure)[] }

export interface AgentTiming extends RetryPolicy {
  quoteInterval: number
}

export interface Transition {
  state: AgentState
  effects: AgentEffect[]
}

/**
 * Upstream's state machine of the pull model (protocol 4.2), with its gaps closed: after a recoverable failure a good quote leads back to
 * GET_QUOTE, and an agent that stays silent is asked on at the longest delay, so that it is found again when it comes back.
 */
export function nextState(state: AgentState, event: AgentEvent, timing: AgentTiming): Transition {
  const S = OPERATIONAL_STATE
  switch (event.type) {
    case 'reactivated':
      return { state: { ...state, operational: S.START, retries: 0, announcedSeverity: null }, effects: [askQuote(0, false)] }
    case 'stopped':
      return { state: { ...state, operational: S.TENANT_FAILED }, effects: [] }
    case 'quote_passed':
      if (event.vIsDue)
        // Retries are kept: a machine that passes but never takes V must come to an end.
        return { state: { ...state, operational: S.PROVIDE_V }, effects: [{ do: 'deliver_v' }] }
      return { state: { ...state, operational: S.GET_QUOTE, retries: 0 }, effects: [askQuote(timing.quoteInterval, true)] }
    case 'v_delivered':
    case 'delivery_refused':
      return { state: { ...state, operational: S.GET_QUOTE, retries: 0 }, effects: [askQuote(timing.quoteInterval, true)] }
    case 'quote_failed':
      return quoteFailed(state, event.judgement)
    case 'unreachable':
      return unreachable(state, event, timing)
    case 'refused':
      return failed(state, event.stage === 'quote' ? 'no_quote' : 'no_v', event.reason)
    case 'version_unsupported':
      return failed(state, 'version_not_supported', event.reason)
    case 'exception':
      return failed(state, 'exception', event.reason)
    case 'not_taken_up':
      return failed(state, 'not_taken_up', event.reason)
  }
}

/** Whether an agent is asked on after a transition: stored, so that a restarted verifier goes on with it. One that could not be taken up is tried again. */
export const isAskedOn = (event: AgentEvent, effects: readonly AgentEffect[]): boolean =>
  event.type === 'not_taken_up' || effects.some((effect) => effect.do === 'ask_quote' || effect.do === 'deliver_v')

const askQuote = (afterSeconds: number, partial: boolean): AgentEffect => ({ do: 'ask_quote', afterSeconds, partial })

const internal = (name: string, reason: string) => irrecoverable('internal', `verifier.${name}`, { message: reason })

/** The others are told once for each rise in severity (protocol 4.2). Recoverable failures are looked at again at once. */
function quoteFailed(state: AgentState, judgement: Judgement): Transition {
  const { worst } = judgement
  const rises = state.announcedSeverity === null || worst.severity > state.announcedSeverity
  const effects: AgentEffect[] = [{ do: 'record', failures: judgement.failures }]
  if (rises) effects.push({ do: 'announce', type: 'revocation', failure: worst })
  if (judgement.recoverable) effects.push(askQuote(0, true))
  const announcedSeverity = rises ? worst.severity : state.announcedSeverity
  return { state: { ...state, operational: OPERATIONAL_STATE.INVALID_QUOTE, retries: 0, announcedSeverity }, effects }
}

/**
 * A machine that says no where it had proved itself, and one that cannot be judged, end polling. Where others may rely on it they are told, like of any
 * other failure: a machine must not be able to silence its own revocation by the answer that it chooses. What was never trusted, and what the
 * operator's own policies make impossible, is told to nobody.
 */
function failed(state: AgentState, name: string, reason: string): Transition {
  const failure = internal(name, reason)
  const { worst } = judge([failure], DEFAULT_SEVERITY)
  const announces =
    state.trusted && name !== 'not_taken_up' && (state.announcedSeverity === null || worst.severity > state.announcedSeverity)
  const effects: AgentEffect[] = [{ do: 'record', failures: [failure] }]
  if (announces) effects.push({ do: 'announce', type: 'revocation', failure })
  const announcedSeverity = announces ? worst.severity : state.announcedSeverity
  return { state: { ...state, operational: OPERATIONAL_STATE.FAILED, retries: 0, announcedSeverity }, effects }
}

function unreachable(state: AgentState, event: Extract<AgentEvent, { type: 'unreachable' }>, timing: AgentTiming): Transition {
  const retries = state.retries + 1
  const afterSeconds = retryDelay(Math.min(retries, Math.max(timing.maxRetries, 1)), timing)
  const again = askQuote(afterSeconds, false) // V too needs a fresh quote: it is never sent on an old verdict
  if (retries <= timing.maxRetries) {
    const operational = event.stage === 'quote' ? OPERATIONAL_STATE.GET_QUOTE_RETRY : OPERATIONAL_STATE.PROVIDE_V_RETRY
    return { state: { ...state, operational, retries }, effects: [again] }
  }
  const effects: AgentEffect[] = []
  if (retries === timing.maxRetries + 1) {
    const failure = internal(event.stage === 'quote' ? 'not_reachable' : 'not_reachable_v', event.reason)
    effects.push({ do: 'record', failures: [failure] })
    if (event.stage === 'v' || event.attestedBefore) effects.push({ do: 'announce', type: 'comm_error', failure })
  }
  effects.push(again)
  return { state: { ...state, operational: OPERATIONAL_STATE.FAILED, retries }, effects }
}
