import { z } from 'zod'

const name = z.string().max(64)

/** `results` of `GET /v2.x/quotes/identity` at an agent (protocol 3.4). */
export const identityQuote = z.object({
  quote: z.string().max(65_536),
  hash_alg: name,
  enc_alg: name,
  sign_alg: name,
  pubkey: z.string().max(8192),
})
export type IdentityQuote = z.infer<typeof identityQuote>
