import { z } from 'zod'
import { type ExplainedFailure, explainFailure } from './explain-failure.ts'
import type { FailedRound } from './failed-round.ts'
import { smallestChange } from './smallest-change.ts'

const policyRef = z.object({ name: z.string(), sha256: z.string() }).nullable()
const part = z.record(z.string(), z.unknown())
const change = z.object({ runtime_policy: part.exactOptional(), mb_policy: part.exactOptional(), tpm_policy: part.exactOptional() })
const explained = z.object({
  event_id: z.string(),
  severity_label: z.string(),
  recoverable: z.boolean(),
  message: z.string(),
  what: z.string(),
  path: z.string().nullable(),
  algorithm: z.string().nullable(),
  found: z.string().nullable(),
  expected: z.array(z.string()),
  expected_count: z.number(),
  signed_by: z.string().nullable(),
  accept: change.nullable(),
  meaning: z.string().nullable(),
  no_change: z.string().nullable(),
  look_at: z.string(),
})

/** `results` of `GET /v2.x/agents/:id/explanation`, our own: the story of the last attestation of an agent that failed. */
export const explanation = z.object({
  agent_id: z.string(),
  failed_at: z.string(),
  last_good: z.string().nullable(),
  good_attestations: z.number(),
  /** Whether it is attested again since. */
  attested_since: z.boolean(),
  judged_by: z.object({
    tpm_policy: z.string(),
    pcrs: z.array(z.number()),
    hash_alg: z.string(),
    runtime_policy: policyRef,
    mb_policy: policyRef,
    measured_boot_policy_name: z.string(),
  }),
  failures: z.array(explained),
  /** Failures beyond those that are kept of one round. */
  further_failures: z.number(),
  /** Accepts every failure that a change can accept; null when there is none. */
  change: change.nullable(),
  /** Failures that no change of a policy heals. */
  without_change: z.number(),
  evidence: z.object({ kept: z.boolean(), compressed_bytes: z.number(), cut: z.array(z.string()), content: z.unknown().optional() }),
})
export type Explanation = z.infer<typeof explanation>
export type ExplainedOnWire = Explanation['failures'][number]

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
