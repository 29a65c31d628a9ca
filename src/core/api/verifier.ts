import { z } from 'zod'
import { portNumber } from './port-number.ts'
import { prose } from './prose.ts'
import { mailbox } from './push/delivery.ts'

const algorithms = z.array(z.string().max(64)).max(64)
const MAX_POLICY_TEXT = 100 << 20
/** A thousand certificates of RSA keys. */
const MAX_KEYRING_TEXT = 4 << 20

const enrolment = z.object({
  v: z.string().max(64).nullish(),
  /** None, or an empty one: the machine brings its evidence by itself. */
  cloudagent_ip: z.string().max(255).nullish(),
  cloudagent_port: portNumber.nullish(),
  /** Ours: the same, whatever the address is. */
  push_model: z.boolean().nullish(),
  verifier_ip: z.string().max(255).nullish(),
  verifier_port: portNumber.nullish(),
  tpm_policy: z.string().max(65_536),
  runtime_policy: z.string().max(MAX_POLICY_TEXT),
  runtime_policy_name: z.string().max(255).nullish(),
  runtime_policy_key: z.string().max(65_536).nullish(),
  mb_policy: z.string().max(MAX_POLICY_TEXT).nullable(),
  mb_policy_name: z.string().max(255).nullish(),
  ima_sign_verification_keys: z.string().max(MAX_KEYRING_TEXT).nullish(),
  metadata: z.string().max(65_536).nullish(),
  revocation_key: z.string().max(16_384).nullish(),
  accept_tpm_hash_algs: algorithms,
  accept_tpm_encryption_algs: algorithms,
  accept_tpm_signing_algs: algorithms,
  ak_tpm: z.string().max(8192),
  mtls_cert: z.string().max(65_536).nullish(),
  /** Ours: what V opens, for a machine that fetches it itself, or gets it from the verifier. It comes with its V. */
  delivery: mailbox.nullish(),
  supported_version: z.string().regex(/^\d{1,3}\.\d{1,3}$/, 'is not a version such as 2.6'),
})

/** `POST /v2.x/agents/:id` at the verifier (protocol 3.6). Tenants before 7.12 call the measured boot policy `mb_refstate`, and none the JSON text `null`. */
export const enrolmentRequest = z.preprocess((body) => {
  if (typeof body !== 'object' || body === null || 'mb_policy' in body || !('mb_refstate' in body)) return body
  return { ...body, mb_policy: body.mb_refstate === 'null' ? null : body.mb_refstate }
}, enrolment)
export type EnrolmentRequest = z.infer<typeof enrolment>

/** `PUT /v2.x/agents/:id` at our verifier: an enrolment in the place of another. A member that is not there stays as it is. */
export const enrolmentUpdate = enrolment.partial()
export type EnrolmentUpdate = z.infer<typeof enrolmentUpdate>

/** `results` of `POST /v2.x/enrolments/:id/check`: why the verifier would refuse it, or null. `delivery`: it has mailboxes, of this version. */
export const enrolmentCheck = z.object({
  refused: z.object({ code: z.string().max(64), message: prose, hint: prose.optional() }).nullable(),
  delivery: z.literal(1).nullish().catch(null),
})

/** What `results` of an answer that took policies may have besides upstream's members: dangers that the policies hold. */
const policyWarnings = z.object({ warnings: z.array(z.object({ policy: prose, path: prose, message: prose })).max(10_000) })

/** The warnings in an answer, each a sentence; none in one of upstream's. */
export function warningsIn(results: unknown): string[] {
  const { data } = policyWarnings.safeParse(results)
  return (data?.warnings ?? []).map(({ policy, path, message }) => `${policy === path ? policy : `${policy}: ${path}`} ${message}`)
}

/** `POST /v2.x/verify/evidence` (protocol 4.10). */
export const evidenceRequest = z.object({
  type: z.string(),
  data: z.object({
    quote: z.string(),
    nonce: z.string(),
    hash_alg: z.string(),
    tpm_ak: z.string(),
    tpm_ek: z.string(),
    tpm_policy: z.unknown().optional(),
    runtime_policy: z.unknown().optional(),
    mb_policy: z.unknown().optional(),
    ima_measurement_list: z.string().nullish(),
    mb_log: z.string().nullish(),
  }),
})
