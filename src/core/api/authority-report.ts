import { z } from 'zod'

/**
 * `GET /v2.x/authorities` of the verifier, our own: the authority that signs for it, and the machines that are not known to believe it. Null where it hands out
 * none (`tls_dir` is not `generate`), or never had another.
 */
export const authorityReport = z.object({
  authority: z.object({ subject: z.string(), key: z.string() }).nullable(),
  /** The one before counts no more. */
  finished: z.boolean(),
  behind: z.array(z.object({ agent_id: z.string(), reason: z.string() })),
})
export type AuthorityReport = z.input<typeof authorityReport>
