import { z } from 'zod'

/** Proof of possession: the agent has its TPM certify the attestation key with the attestation key, over the verifier's challenge. */
export const TPM_POP = { authentication_class: 'pop', authentication_type: 'tpm_pop' } as const

const method = { authentication_class: z.string().max(64), authentication_type: z.string().max(64) }
const isTpmPop = ({ authentication_class: of, authentication_type: type }: { authentication_class: string; authentication_type: string }) =>
  of === TPM_POP.authentication_class && type === TPM_POP.authentication_type
const MAX_METHODS = 16

/** `POST /v3.0/sessions`. */
export const sessionRequest = z.object({
  data: z.object({
    type: z.literal('session'),
    attributes: z.object({
      agent_id: z.string().max(80),
      authentication_supported: z
        .array(z.object(method))
        .max(MAX_METHODS)
        .refine((methods) => methods.some(isTpmPop), {
          message: 'authentication_supported must include tpm_pop authentication type',
        }),
    }),
  }),
})
export type SessionRequest = z.infer<typeof sessionRequest>

/** The answer to it, as an agent reads it: a challenge of 16 bytes in base64. */
export const openedSession = z.object({
  data: z.object({
    id: z.string().min(1).max(64),
    attributes: z.object({
      authentication_requested: z
        .array(z.object({ ...method, chosen_parameters: z.object({ challenge: z.base64().min(4).max(128) }) }))
        .min(1)
        .max(MAX_METHODS),
    }),
  }),
})

/** `PATCH /v3.0/sessions/:session`: TPMS_ATTEST and TPMT_SIGNATURE of TPM2_Certify, base64. */
export const sessionProof = z.object({
  data: z.object({
    type: z.literal('session'),
    attributes: z.object({
      agent_id: z.string().max(80),
      authentication_provided: z
        .array(z.object({ ...method, data: z.object({ message: z.string().max(4096), signature: z.string().max(4096) }) }))
        .min(1)
        .max(MAX_METHODS),
    }),
  }),
})
export type SessionProof = z.infer<typeof sessionProof>

/**
 * What a verifier of ours can do beyond API 3.0, in the answer to a proof: `delivery` is the version of payloads (`delivery.ts`), `wait` the seconds that it holds a long request
 * (`wait.ts`).
 */
const extensions = z.object({
  delivery: z.literal(1).optional().catch(undefined),
  wait: z.number().int().min(1).max(3600).optional().catch(undefined),
})
export type SessionExtensions = z.infer<typeof extensions>

/** The answer to it. Times are RFC 3339 with an offset; a session that failed has no token. */
export const provedSession = z.object({
  data: z.object({
    attributes: z.object({
      evaluation: z.enum(['pass', 'fail']),
      token: z.string().max(256).nullish(),
      token_expires_at: z.string().max(64).nullish(),
      extensions: extensions.optional().catch(undefined),
    }),
  }),
})
