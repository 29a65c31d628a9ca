import { z } from 'zod'
import { prose } from './prose.ts'

const name = z.string().max(64).nullish()

/** How far the last delivery got. */
const deliveryProgress = z.object({
  state: z.enum(['none', 'unpacking', 'unpacked', 'key_only', 'not_allowed', 'failed']),
  files: z.number().int().min(0),
  script: z.enum(['none', 'running', 'done', 'failed']),
  script_exit: z.number().int().nullish(),
  script_error: prose.nullish(),
  error: prose.nullish(),
})
export type DeliveryProgress = Required<z.infer<typeof deliveryProgress>>

/** `results` of `GET /v2.x/agent/info` at an agent (protocol 5.1). `payload` is an addition of ours. */
export const agentInfo = z.object({
  agent_uuid: z.string().max(255).nullish(),
  tpm_hash_alg: name,
  tpm_enc_alg: name,
  tpm_sign_alg: name,
  ak_handle: z.number().int().nullish(),
  payload: deliveryProgress.nullish(),
})

/** What an agent of ours sends: every member. */
export type FullAgentInfo = Required<z.input<typeof agentInfo>>

/** `results` of `GET /v2.x/keys/verify`: the proof that the agent derived K. */
export const keyProof = z.object({ hmac: z.string().max(256) })
export type KeyProof = z.input<typeof keyProof>
