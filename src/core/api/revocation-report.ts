import { z } from 'zod'
import { prose } from './prose.ts'

const MAX_TARGETS = 1_000_000
const target = z.string().max(512)
const time = z.string().max(64)
const lastError = prose.nullable()

const reported = z.object({
  id: z.number().int(),
  agent_id: z.string().max(255),
  type: z.string().max(64),
  time,
  /** All that have taken it; `outcome` where an agent said what became of it. */
  told: z
    .array(z.object({ target, time, outcome: z.enum(['acted', 'failed']).nullish(), last_error: lastError.nullish() }))
    .max(MAX_TARGETS),
  /** They do not believe it. */
  refused: z
    .array(z.object({ target, last_error: lastError }))
    .max(MAX_TARGETS)
    .optional(),
  pending: z.array(z.object({ target, attempts: z.number().int(), last_error: lastError })).max(MAX_TARGETS),
  given_up: z.array(z.object({ target, last_error: lastError })).max(MAX_TARGETS),
})
/** One decision of the verifier to tell others, and who knows it by now. */
export type ReportedRevocation = z.infer<typeof reported>

/** `results` of `GET /v2.x/revocations`, our own. */
export const revocationReport = z.object({ revocations: z.array(reported).max(10_000) })
export type RevocationReport = z.input<typeof revocationReport>
