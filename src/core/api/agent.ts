import { z } from 'zod'
import { parseBoundedJson } from './bounded-json.ts'
import { parseMessage } from './parse-message.ts'

/** Replies of an agent. Fields that do not fit become a failure of the evidence, not an exception (protocol 4.3, 4.6 step 1). */
export const integrityQuote = z.object({
  quote: z.string().max(65_536),
  hash_alg: z.string().max(64),
  enc_alg: z.string().max(64),
  sign_alg: z.string().max(64),
  pubkey: z.string().max(8192).nullish(),
  ima_measurement_list: z.string().nullish(),
  ima_measurement_list_entry: z.number().int().min(0).nullish(),
  /** Ours: lines of the list that are not UTF-8 (`raw-lines`). */
  ima_measurement_list_raw: z
    .string()
    .max(1 << 20)
    .nullish(),
  mb_measurement_list: z.string().nullish(),
  /** Ours: what systemd has measured since the boot (`systemd-log`). */
  systemd_measurement_list: z
    .string()
    .max(1 << 20)
    .nullish(),
  boottime: z.number().int().nullish(),
})
export type IntegrityQuote = z.infer<typeof integrityQuote>

export const agentVersion = z.object({
  supported_version: z.string().max(64),
  supported_versions: z.array(z.string().max(64)).max(100).nullish(),
})

/** `POST /keys/ukey` and `POST /keys/vkey` (protocol 5.1). */
export const userKeyRequest = z.object({
  encrypted_key: z.string().max(8192),
  auth_tag: z.string().max(8192),
  payload: z.string().nullish(),
  /** Ours: an operator has signed it (`delivery-order.ts`); the share that is meant is the text `encrypted_key`. */
  order: z.string().max(4096).nullish(),
  signature: z.string().max(2048).nullish(),
  certificate: z.string().max(16_384).nullish(),
})
export type UserKeyRequest = z.infer<typeof userKeyRequest>
export const verifierKeyRequest = z.object({ encrypted_key: z.string().max(8192) })
/** `verifier_signature` is ours: by the verifier's own key, for machines that know no other notifier. */
export const revocationNotification = z.object({
  msg: z.string(),
  signature: z.string().nullish(),
  verifier_signature: z.string().nullish(),
})

/** The same as the bytes of one ZeroMQ message. @throws KeylimeError `invalid_request`. */
export function readRevocationNotification(bytes: Buffer): z.infer<typeof revocationNotification> {
  const what = 'the revocation notification'
  return parseMessage(revocationNotification, parseBoundedJson(bytes, what), what)
}
