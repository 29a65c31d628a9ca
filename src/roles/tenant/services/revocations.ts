import { z } from 'zod'
import { KeylimeError } from '../../../core/errors.ts'
import type { TenantContext } from '../tenant-context.ts'

const revocation = z.object({
  id: z.number(),
  agent_id: z.string(),
  type: z.string(),
  time: z.string(),
  told: z.array(z.object({ target: z.string(), time: z.string() })),
  pending: z.array(z.object({ target: z.string(), attempts: z.number(), last_error: z.string().nullable() })),
  given_up: z.array(z.object({ target: z.string(), last_error: z.string().nullable() })),
})
const answer = z.object({ revocations: z.array(revocation) })

/** One decision of the verifier to tell others, and who knows it by now. */
export type Revocation = z.infer<typeof revocation>

/** The newest revocations. @throws KeylimeError `unsupported_version` for a verifier of upstream, which keeps no such record. */
export async function listRevocations(context: TenantContext): Promise<Revocation[]> {
  const response = await context.verifier.raw('GET', '/revocations')
  const parsed = answer.safeParse(response.results)
  if (response.status === 200 && parsed.success) return parsed.data.revocations
  throw new KeylimeError('unsupported_version', 'this verifier does not say whom it told of revocations', {
    hint: 'only `keylime verifier` keeps that record; upstream’s does not',
  })
}
