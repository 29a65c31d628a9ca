import { z } from 'zod'
import { prose } from './prose.ts'

const MAX_PATH = 131_072
const MAX_FAILURES = 10_000
const MAX_PCRS = 24
const name = z.string().max(64)
const time = z.string().max(64)
const policyRef = z.object({ name: z.string().max(255), sha256: z.string().max(64) }).nullable()
const part = z.record(z.string(), z.unknown())
const change = z.object({ runtime_policy: part.exactOptional(), mb_policy: part.exactOptional(), tpm_policy: part.exactOptional() })
const explained = z.object({
  event_id: z.string().max(512),
  severity_label: name,
  recoverable: z.boolean(),
  message: prose,
  what: prose,
  path: z.string().max(MAX_PATH).nullable(),
  algorithm: name.nullable(),
  found: prose.nullable(),
  expected: z.array(prose).max(1000),
  expected_count: z.number(),
  signed_by: name.nullable(),
  accept: change.nullable(),
  meaning: prose.nullable(),
  no_change: prose.nullable(),
  look_at: prose,
})

/** `results` of `GET /v2.x/agents/:id/explanation`, our own: the story of the last attestation of an agent that failed. */
export const explanation = z.object({
  agent_id: z.string().max(255),
  failed_at: time,
  last_good: time.nullable(),
  good_attestations: z.number(),
  /** Whether it is attested again since. */
  attested_since: z.boolean(),
  judged_by: z.object({
    tpm_policy: z.string().max(131_072),
    pcrs: z.array(z.number().int()).max(MAX_PCRS),
    hash_alg: name,
    runtime_policy: policyRef,
    mb_policy: policyRef,
    measured_boot_policy_name: name,
  }),
  failures: z.array(explained).max(MAX_FAILURES),
  /** Failures beyond those that are kept of one round. */
  further_failures: z.number(),
  /** Accepts every failure that a change can accept; null when there is none. */
  change: change.nullable(),
  /** Failures that no change of a policy heals. */
  without_change: z.number(),
  evidence: z.object({ kept: z.boolean(), compressed_bytes: z.number(), cut: z.array(name).max(64), content: z.unknown().optional() }),
})
export type Explanation = z.infer<typeof explanation>
export type ExplainedOnWire = Explanation['failures'][number]
