import { z } from 'zod'

const MAX_POLICY_TEXT = 100 << 20
const name = z.string().max(255)
const names = z.array(name).max(1_000_000)

/** `results` of `GET /v2.x/allowlists/` and of `GET /v2.x/mbpolicies/` (protocol 3.8). */
export const policyNames = { runtime: z.object({ 'runtimepolicy names': names }), mb: z.object({ 'mbpolicy names': names }) } as const
export type PolicyNames = { [K in keyof typeof policyNames]: z.input<(typeof policyNames)[K]> }

/** `results` of `GET /v2.x/allowlists/:name` and of `GET /v2.x/mbpolicies/:name`. */
export const storedPolicy = {
  runtime: z.object({ name, runtime_policy: z.string().max(MAX_POLICY_TEXT) }),
  mb: z.object({ name, mb_policy: z.string().max(MAX_POLICY_TEXT) }),
} as const
