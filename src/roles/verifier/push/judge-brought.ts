import type { Submission } from '../../../core/api/push/attestation.ts'
import { type NowOrLater, whenThere } from '../../../core/concurrency/now-or-later.ts'
import { causeChain } from '../../../core/errors.ts'
import type { Judging } from '../../../core/judging/judging.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AttestationLoop } from '../rounds/attestation-loop.ts'
import { knownAgent, type RoundOptions, type RoundResult } from '../rounds/attestation-round.ts'
import { keepRules } from '../verdicts/keep-failed-round.ts'
import type { Attestation, Attestations } from './attestations.ts'
import type { Sessions } from './sessions.ts'

/** Judges evidence that a machine brought, as a round of the pull model is judged, and applies the verdict. Never throws. */
export type JudgeBrought = (agent: ManagedAgent, attestation: Attestation, evidence: BroughtEvidence) => NowOrLater<void>

export interface BroughtEvidence {
  body: Buffer
  /** What it says, where it was read already. */
  given: Submission | undefined
}

export interface JudgeBroughtOptions extends Pick<RoundOptions, 'evaluateBootAlways' | 'maxEvidenceBytes'> {
  judging: Pick<Judging, 'judgeRound'>
  loop: Pick<AttestationLoop, 'take'>
  attestations: Attestations
  sessions: Pick<Sessions, 'extend'>
  /** `extend_token_on_attestation` */
  extends: boolean
  clock: Clock
  logger: Logger
}

export function createJudgeBrought(options: JudgeBroughtOptions): JudgeBrought {
  const { judging, loop, attestations, sessions, clock, logger } = options

  function judge(agent: ManagedAgent, attestation: Attestation, evidence: BroughtEvidence): NowOrLater<RoundResult> {
    const { challenge, policy: askedBy } = attestation
    const { asked } = attestation.chosen
    const known = knownAgent(agent)
    const { policy, attestationCount, ima } = known
    const isAsAsked = policy === askedBy && (!asked.imaOffset || asked.imaOffset === ima.nextEntry)
    if (!isAsAsked) return { later: 'what it must prove was changed since it was asked' }
    const nonce = Buffer.from(challenge, 'base64').toString('latin1')
    const request = { nonce, evaluateBootAlways: options.evaluateBootAlways, unbound: true }
    const keep = keepRules(agent, options.maxEvidenceBytes, clock)
    const judged = judging.judgeRound({ answer: evidence.body, given: evidence.given, asked, request, known, keep })
    return whenThere(judged, (judged) =>
      judged.kind === 'judged' ? { round: { judged, policy, attestationCount } } : { later: judged.reason },
    )
  }

  function note(agent: ManagedAgent, attestation: Attestation, result: RoundResult): void {
    attestations.note(agent, 'later' in result ? result.later : null)
    if (!('round' in result)) return
    const { verdict } = result.round.judged
    if (verdict.outcome === 'passed') {
      attestation.evaluation = 'pass'
      attestation.transportKey = verdict.transportKey
      if (options.extends) sessions.extend(agent.enrolment.agentId)
    }
    if (verdict.outcome === 'failed') {
      attestation.evaluation = 'fail'
      attestation.failureReason = reasonOf(verdict.failures)
    }
  }

  function end(agent: ManagedAgent, attestation: Attestation, result: RoundResult | undefined): void {
    try {
      if (result) note(agent, attestation, result)
    } finally {
      attestations.settle(agent, attestation)
    }
  }

  function wentWrong(agent: ManagedAgent, attestation: Attestation, error: unknown): void {
    logger.error(`agent ${agent.enrolment.agentId}: what it brought was not judged: ${causeChain(error).join(': ')}`)
    attestations.settle(agent, attestation)
  }

  return (agent, attestation, evidence) => {
    let result: RoundResult | undefined
    const round = () =>
      whenThere(judge(agent, attestation, evidence), (judged) => {
        result = judged
        return judged
      })
    try {
      const done = whenThere(loop.take(agent, round), () => end(agent, attestation, result))
      return done instanceof Promise ? done.catch((error) => wentWrong(agent, attestation, error)) : done
    } catch (error) {
      wentWrong(agent, attestation, error)
    }
  }
}

/** Upstream's two words (protocol 8.5). */
const reasonOf = (failures: readonly Failure[]): Attestation['failureReason'] =>
  failures.some(({ eventId }) => eventId.startsWith('qoute_validation') || eventId.startsWith('internal'))
    ? 'broken_evidence_chain'
    : 'policy_violation'
