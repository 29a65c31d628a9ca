import type { ExplainedOnWire, Explanation } from '../api/explanation.ts'
import { type ExplainedFailure, explainFailure } from './explain-failure.ts'
import type { FailedRound } from './failed-round.ts'
import { smallestChange } from './smallest-change.ts'

/** @param attestedSince the last good attestation is younger than this failure. @param content the evidence itself, when it is asked for. */
export function explain(agentId: string, round: FailedRound, attestedSince: boolean, content?: unknown): Explanation {
  const failures = round.failures.map((failure) => onWire(failure, explainFailure(failure.eventId, failure.context)))
  const { judges, evidence, cut } = round
  return {
    agent_id: agentId,
    failed_at: new Date(round.at).toISOString(),
    last_good: round.lastGood > 0 ? new Date(round.lastGood * 1000).toISOString() : null,
    good_attestations: round.attestationCount,
    attested_since: attestedSince,
    judged_by: {
      tpm_policy: judges.tpmPolicy,
      pcrs: [...judges.pcrs],
      hash_alg: judges.hashAlg,
      runtime_policy: judges.runtimePolicy,
      mb_policy: judges.mbPolicy,
      measured_boot_policy_name: judges.bootPolicy,
    },
    failures,
    further_failures: round.failures.reduce((sum, { context }) => sum + (typeof context['more'] === 'number' ? context['more'] : 0), 0),
    change: smallestChange(failures.map(({ accept }) => accept)),
    without_change: failures.filter(({ accept }) => !accept).length,
    evidence: { kept: evidence !== null, compressed_bytes: evidence?.length ?? 0, cut, ...(content === undefined ? {} : { content }) },
  }
}

function onWire(
  { eventId, severityLabel, recoverable, context }: FailedRound['failures'][number],
  said: ExplainedFailure,
): ExplainedOnWire {
  const { expectedCount, signedBy, noChange, lookAt, ...same } = said
  const renamed = { expected_count: expectedCount, signed_by: signedBy, no_change: noChange, look_at: lookAt }
  return { event_id: eventId, severity_label: severityLabel, recoverable, message: context.message, ...same, ...renamed }
}
