import { z } from 'zod'
import { prose } from '../prose.ts'

/**
 * Payloads for machines that bring their evidence, our own beside API 3.0: an item of evidence of a type that only who was offered it asks for, and two resources of the agent. An agent
 * offers it to a verifier whose answer to the proof of its key says `extensions.delivery`.
 */
export const DELIVERY = { evidence_class: 'keylime', evidence_type: 'keylime_delivery' } as const

/** Longest text of a sealed payload: `max_payload_size` of tenant, agent and verifier say less. */
const MAX_PAYLOAD_TEXT = 100 << 20
const enrolment = z.string().regex(/^[0-9a-f]{32}$/)
const generation = z.number().int().min(1)

/** What the machine can take; the version of all that is described here. */
export const deliveryCapabilities = z.object({ version: z.literal(1) })

/** What the verifier has for it: a mailbox to be emptied, or a delivery of which it waits to hear. */
export const deliveryParameters = z.object({ enrolment, generation })
export type DeliveryParameters = z.infer<typeof deliveryParameters>

/** How far a delivery came, as the machine says. `refused`: its order does not count; `error` says why. */
export const deliveryReport = z.object({
  enrolment,
  generation,
  state: z.enum(['waiting', 'refused', 'unpacking', 'unpacked', 'key_only', 'not_allowed', 'failed']),
  files: z.number().int().min(0),
  script: z.enum(['none', 'running', 'done', 'failed']),
  script_exit: z.number().int().nullish(),
  script_error: prose.nullish(),
  error: prose.nullish(),
  /** Generation of the newest order, of a machine that refuses this one as older: the next has to be above it. */
  newest: generation.nullish(),
  /** HMAC-SHA-384 by K over the challenge of the order; null until K is there. */
  proof: z
    .string()
    .regex(/^[0-9a-f]{96}$/)
    .nullable(),
})
export type DeliveryReport = z.infer<typeof deliveryReport>

/** The item of evidence. The key is the one that the quote of the same evidence binds through PCR 16; null where no V is wanted. */
export const deliveryEvidence = z.object({ transport_key: z.string().max(8192).nullable(), report: deliveryReport.nullable() })
export type DeliveryEvidence = z.infer<typeof deliveryEvidence>

/** What lies in a mailbox: useless without V and this machine's TPM. Also a member `delivery` of an enrolment at our verifier, and the body of `POST keys/sealed` at an agent of ours. */
export const mailbox = z.object({
  order: z.string().max(4096),
  signature: z.string().max(2048),
  certificate: z.string().max(16_384),
  share: z.string().max(8192),
  payload: z.string().max(MAX_PAYLOAD_TEXT).nullable(),
})
export type Mailbox = z.infer<typeof mailbox>

/** `GET /v3.0/agents/:id/delivery`, by the token of the machine. */
export const mailboxAnswer = z.object({ data: z.object({ type: z.literal('delivery'), attributes: mailbox }) })

/**
 * `GET /v3.0/agents/:id/attestations/:index/delivery`, by the token: answered when the evidence was judged, or with `pending` after a while. `encrypted_key` is V, encrypted to the
 * transport key of that evidence; null when it failed, or V is not due to it.
 */
export const releaseAnswer = z.object({
  data: z.object({
    type: z.literal('release'),
    attributes: z.object({
      evaluation: z.enum(['pending', 'pass', 'fail']),
      enrolment: enrolment.nullable(),
      encrypted_key: z.string().max(8192).nullable(),
    }),
  }),
})
export type ReleaseAnswer = z.infer<typeof releaseAnswer>

/** `delivery` of an agent's status at our verifier: null when nothing was ordered, or it was in the pull model's way. */
export const deliveryStatus = z.object({
  enrolment: z.string().max(64),
  generation: z.number().int(),
  /** Seconds since the epoch. */
  ordered_at: z.number().int(),
  /** The last that the machine said; null before it has. */
  report: deliveryReport.nullable(),
})
export type DeliveryStatus = z.infer<typeof deliveryStatus>
