import type { AgentEvent } from '../../../core/attestation/agent-state.ts'
import { refusal } from '../../../core/attestation/delivery.ts'
import { CONFIRMED, REFUSED } from '../../../core/attestation/release.ts'
import { causeChain } from '../../../core/errors.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { Along } from '../verdicts/state-keeper.ts'
import type { RoundResult } from './attestation-round.ts'
import { OwnTrouble } from './own-trouble.ts'
import type { RoundOutcome } from './round-meter.ts'

/** A round that is under way. */
export interface Running {
  readonly agent: ManagedAgent
  /** Of the agent, as it began. */
  readonly epoch: number
  readonly lateMs: number
  /** Null where it says nothing any more. */
  outcome: RoundOutcome | null
  /** What is known of it so far speaks against the machine, or is not known: then what goes wrong is held against it, too. */
  isAgainst: boolean
}

/** The operator said something else meanwhile. */
export const isStale = ({ agent, epoch }: Pick<Running, 'agent' | 'epoch'>): boolean => agent.removed || agent.epoch !== epoch

/** What is stored with the end of a release. */
export function alongOf({ delivery }: ManagedAgent, event: AgentEvent): Along {
  if (event.type === 'v_delivered') return { changes: CONFIRMED }
  return event.type === 'delivery_refused' && delivery ? { changes: REFUSED, report: refusal(delivery, event.reason) } : {}
}

export function outcomeOf(result: RoundResult): RoundOutcome {
  if ('later' in result) return 'postponed'
  if ('round' in result) return result.round.judged.verdict.outcome
  return result.event.type === 'unreachable' ? 'unreachable' : 'refused'
}

export const reasonOf = (error: unknown) => causeChain(error).join(': ')

/** As a machine that cannot be reached: not good, tried again, and told to nobody (decision 151). */
export const ownTrouble = (cause: unknown): AgentEvent => ({
  type: 'unreachable',
  stage: 'quote',
  attestedBefore: false,
  reason: reasonOf(new OwnTrouble(cause)),
})

/** A machine must not be able to choose evidence, or an answer, of which we only know that we cannot deal with it. */
export function speaksAgainst(result: RoundResult): boolean {
  if ('later' in result) return false
  return 'round' in result
    ? result.round.judged.verdict.outcome === 'failed'
    : result.event.type !== 'unreachable' && result.event.type !== 'quote_passed'
}
