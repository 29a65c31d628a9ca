/**
 * What one round led to. `again`: the machine was rebooted, and is asked for its whole log; `postponed`: there was no room to judge, which says nothing of the machine; `error`: a
 * bug or a disk that cannot be written.
 */
export const ROUND_OUTCOMES = ['passed', 'failed', 'again', 'unreachable', 'refused', 'postponed', 'error'] as const
export type RoundOutcome = (typeof ROUND_OUTCOMES)[number]

/** `ask`: from the request to the whole answer; `judge`: until there is a verdict; `apply`: until what follows is stored. */
export const ROUND_STAGES = ['ask', 'judge', 'apply'] as const
export type RoundStage = (typeof ROUND_STAGES)[number]

/** Told of each round. It must neither throw nor wait. */
export interface RoundMeter {
  /** @param lateMs since the machine was due. */
  began(lateMs: number): void
  stage(stage: RoundStage, ms: number): void
  /** @param brought the machine came by itself. */
  ended(outcome: RoundOutcome, brought: boolean): void
}

export const NO_METER: RoundMeter = { began() {}, stage() {}, ended() {} }
