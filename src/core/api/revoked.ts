import { z } from 'zod'

/** `results` of `PUT /v2.x/agents/:id/revoke` at the verifier, our own: the number of the notice, and how many are told; null and 0 when nobody is configured to be. */
export const revokedAtVerifier = z.object({ revocation: z.number().int().nullable(), receivers: z.number().int().min(0) })
export type RevokedAtVerifier = z.output<typeof revokedAtVerifier>

/** `results` of `PUT /v2.x/agents/:id/revoke` at the registrar, our own: whether its TPM is known, and barred too; ids under which that TPM is registered still, where it may have several. */
export const revokedAtRegistrar = z.object({ tpm_known: z.boolean(), other_ids: z.array(z.string().max(255)).max(1000).optional() })
export type RevokedAtRegistrar = z.output<typeof revokedAtRegistrar>

const mark = z.object({ agent_id: z.string().max(255), revoked_at: z.string().max(64) })

/** `results` of `GET /v2.x/revocations` at the registrar, our own: who may not register until it is forgotten. */
export const revocationMarks = z.object({ revoked: z.array(mark).max(1_000_000) })
export type RevocationMarks = z.output<typeof revocationMarks>
