import { z } from 'zod'
import { prose } from './prose.ts'
import { deliveryStatus } from './push/delivery.ts'

const name = z.string().max(64)
const names = z.array(name).max(64).readonly().nullish()
const host = z.string().max(255).nullish()
const port = z.number().int().nullish()
const whole = z.number().int().nullish()
/** JSON text, or what it says. */
const json = z.union([z.string().max(131_072), z.record(z.string(), z.unknown())]).nullish()

const shownFailure = z.looseObject({
  event_id: z.string().max(512),
  severity_label: name.nullish(),
  recoverable: z.boolean().nullish(),
  context: z.looseObject({ message: prose.nullish() }),
})

/** `results` of `GET /v2.x/agents/:id` at a verifier, upstream's or ours (protocol 4.9); `v_released`, `v_withheld`, `failures`, `comes_by`, `delivery` and the names of policies are ours alone. */
export const agentStatus = z.looseObject({
  operational_state: z.number().int(),
  v: z.string().max(64).nullish(),
  ip: host,
  port,
  tpm_policy: json,
  meta_data: json,
  has_mb_refstate: whole,
  has_runtime_policy: whole,
  runtime_policy_name: z.string().max(512).nullish(),
  mb_policy_name: z.string().max(512).nullish(),
  accept_tpm_hash_algs: names,
  accept_tpm_encryption_algs: names,
  accept_tpm_signing_algs: names,
  hash_alg: name.nullish(),
  enc_alg: name.nullish(),
  sign_alg: name.nullish(),
  verifier_id: z.string().max(255).nullish(),
  verifier_ip: host,
  verifier_port: port,
  severity_level: whole,
  last_event_id: z.string().max(512).nullish(),
  attestation_count: whole,
  last_received_quote: whole,
  last_successful_attestation: whole,
  attestation_status: name.nullish(),
  attestation_period: name.nullish(),
  maximum_attestation_interval: name.nullish(),
  v_released: z.boolean().nullish(),
  /** An older database was put back: it gets another key with another delivery. */
  v_withheld: z.boolean().nullish(),
  /** What was ordered to be delivered through a mailbox, and how far it came. */
  delivery: deliveryStatus.nullish(),
  /** How it comes: `pull` or `push`. */
  comes_by: name.nullish(),
  /** Whether it may bring evidence, or is asked on. */
  accept_attestations: z.boolean().nullish(),
  failures: z.array(shownFailure).max(10_000).nullish(),
})
export type AgentStatus = z.infer<typeof agentStatus>

/** What a verifier of ours sends: every member. */
export type FullAgentStatus = Required<z.input<typeof agentStatus>>

/** `results` of `GET /v2.x/agents/?bulk=True`: the status of each agent by id. Machines choose their ids: a record of zod's leaves `__proto__` out. */
export const agentStatuses = z
  .preprocess(
    (value) => (value && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : value),
    z.array(z.tuple([z.string().max(255), agentStatus])),
  )
  .transform((entries): Record<string, AgentStatus> => Object.fromEntries(entries))

/** The status of one of them. Machines choose their ids: one may be called `constructor`, which every object has. */
export const statusOf = (statuses: Readonly<Record<string, AgentStatus>>, agentId: string): AgentStatus | undefined =>
  Object.hasOwn(statuses, agentId) ? statuses[agentId] : undefined
