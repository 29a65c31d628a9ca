import { type ErrorCode, exitCodeOf } from '../errors.ts'
import { OPERATIONAL_STATE, type OperationalState } from './operational-state.ts'

/** How a machine stands, in words of our own. `registered`: the registrar alone knows it. `revoked`: it may not even register until it is forgotten. */
export const STATE_WORDS = ['attested', 'failed', 'unreachable', 'waiting', 'stopped', 'registered', 'revoked'] as const
export type StateWord = (typeof STATE_WORDS)[number]

/** As people read it. */
export const stateWordText = (word: StateWord): string => (word === 'registered' ? 'registered only' : word)

/** The order of a list: what needs somebody first. */
export const BY_URGENCY: readonly StateWord[] = ['failed', 'unreachable', 'waiting', 'registered', 'stopped', 'revoked', 'attested']

/** Exit code of a command that asks how a machine stands: as of a command that fails for the same reason. */
export const exitCodeOfState = (word: StateWord): number => (CODES[word] ? exitCodeOf(CODES[word]) : 0)

const CODES: Partial<Record<StateWord, ErrorCode>> = {
  failed: 'attestation_failed',
  unreachable: 'unreachable',
  registered: 'agent_not_found',
}

/** What a verifier says of a machine, upstream's or ours. */
export interface StandingOf {
  readonly operational_state: number
  readonly last_event_id?: string | null | undefined
  readonly attestation_count?: number | null | undefined
}

const S = OPERATIONAL_STATE

/** The word for what a verifier says. A machine that does not answer has not failed: it is unreachable. */
export function stateWord({ operational_state: state, last_event_id: event, attestation_count: count }: StandingOf): StateWord {
  switch (state as OperationalState) {
    case S.GET_QUOTE:
    case S.PROVIDE_V:
      return (count ?? 0) > 0 ? 'attested' : 'waiting'
    case S.GET_QUOTE_RETRY:
    case S.PROVIDE_V_RETRY:
      return 'unreachable'
    case S.FAILED:
      return event?.startsWith('internal.verifier.not_reachable') ? 'unreachable' : 'failed'
    case S.INVALID_QUOTE:
      return 'failed'
    case S.TENANT_FAILED:
    case S.TERMINATED:
      return 'stopped'
    default:
      return 'waiting'
  }
}
