import type { FailedRound } from '../../../core/explanation/failed-round.ts'
import type { JudgedRound, KeepRules } from '../../../core/judging/judging.ts'
import { quotedPcrs } from '../../../core/policy/agent-policy.ts'
import type { Judgement } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'

/** A verdict, and by what it was judged: the policy of the agent may be another one by now. */
export interface RoundVerdict {
  judged: Extract<JudgedRound, { kind: 'judged' }>
  policy: BookedPolicy
  /** Good attestations before it. */
  attestationCount: number
}

/** An agent whose failures are let pass is asked again at once: the same failures are kept once in this time. */
const SAME_AGAIN_MS = 60_000

/** What shall be kept of a round, if it fails. @param maxBytes of one agent on the disk, compressed. */
export function keepRules({ state, evidenceStored }: ManagedAgent, maxBytes: number, clock: Clock): KeepRules {
  const again = evidenceStored > 0 && clock.monotonic() - evidenceStored < SAME_AGAIN_MS
  return { maxBytes, unless: again ? state.failures.map(({ eventId }) => eventId) : null }
}

/** What is stored with the verdict; null when the same failures were stored a moment ago. @param bootPolicy `measured_boot_policy_name`. */
export function failedRound(
  agent: ManagedAgent,
  { judged, policy, attestationCount }: RoundVerdict,
  { failures }: Judgement,
  { bootPolicy, clock }: { bootPolicy: string; clock: Clock },
): FailedRound | null {
  if (!judged.kept) return null
  agent.evidenceStored = clock.monotonic()
  return {
    at: clock.now(),
    failures,
    judges: {
      tpmPolicy: agent.enrolment.tpmPolicy,
      pcrs: quotedPcrs(policy),
      hashAlg: judged.hashAlg,
      runtimePolicy: policy.refs.runtime,
      mbPolicy: policy.refs.mb,
      bootPolicy,
    },
    attestationCount,
    lastGood: agent.progress.lastSuccessfulAttestation,
    ...judged.kept,
  }
}
