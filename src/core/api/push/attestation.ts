import { z } from 'zod'

/**
 * Negotiation and evidence of API 3.0 (push-wire). An agent says what it can prove, the verifier chooses, the agent brings it. Evidence of a type that one side does
 * not know is passed over by both: new types can be offered to peers of any age.
 */
const name = z.string().max(64)
const names = z.array(name).max(64)
const MAX_ITEMS = 16
const text = (max: number) => z.string().max(max)
const MAX_PCRS = 32

const isPcr = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_PCRS

/** As one check: number by number, the lists of an offer cost as much as all else of an attestation. */
const pcrNumbers = z.custom<number[]>((value) => Array.isArray(value) && value.length <= MAX_PCRS && value.every(isPcr), {
  message: `Invalid input: expected a list of PCRs, each from 0 to ${MAX_PCRS - 1}`,
})

export const TPM_QUOTE = { evidence_class: 'certification', evidence_type: 'tpm_quote' } as const
export const IMA_LOG = { evidence_class: 'log', evidence_type: 'ima_log' } as const
export const UEFI_LOG = { evidence_class: 'log', evidence_type: 'uefi_log' } as const

/** `public` is a TPMT_PUBLIC, without the size that a TPM2B_PUBLIC begins with. Which key verifies is never learned from here. */
const certificationKey = z.object({
  key_class: name,
  key_algorithm: name,
  key_size: z.number().int().min(0).max(65_536).nullish(),
  server_identifier: name.nullish(),
  /** The TPM name of the key, in hex, at the Rust agent. */
  local_identifier: text(256).nullish(),
  public: text(4096).nullish(),
  allowable_hash_algorithms: names.nullish(),
  allowable_signature_schemes: names.nullish(),
})

const quoteCapabilities = z.object({
  component_version: name.nullish(),
  hash_algorithms: names,
  signature_schemes: names,
  /** Banks with the numbers of their PCRs. */
  available_subjects: z.record(name, pcrNumbers),
  certification_keys: z.array(certificationKey).max(MAX_ITEMS),
})
export type QuoteCapabilities = z.infer<typeof quoteCapabilities>

const logCapabilities = z.object({
  evidence_version: name.nullish(),
  entry_count: z.number().int().min(0).nullish(),
  supports_partial_access: z.boolean().nullish(),
  appendable: z.boolean().nullish(),
  formats: names.nullish(),
})
export type LogCapabilities = z.infer<typeof logCapabilities>

/** `POST /v3.0/agents/:id/attestations`. What an item can do is read by its type: see `offered`. */
export const negotiation = z.object({
  data: z.object({
    type: z.literal('attestation'),
    attributes: z.object({
      evidence_supported: z.array(z.object({ evidence_class: name, evidence_type: name, capabilities: z.unknown() })).max(MAX_ITEMS),
      system_info: z.object({ boot_time: text(64).nullish() }).nullish(),
      /** Ours: something changed, or the machine was woken (`wait.ts`). */
      early: z.boolean().nullish(),
    }),
  }),
})
export type Negotiation = z.infer<typeof negotiation>
export const capabilitiesOf = { tpm_quote: quoteCapabilities, ima_log: logCapabilities, uefi_log: logCapabilities } as const

const quoteParameters = z.object({
  signature_scheme: name,
  /** Base64; the Rust agent takes what is no base64 as it stands. */
  challenge: text(128).min(1),
  hash_algorithm: name,
  /** Every bank that was offered, null for those that are not wanted. */
  selected_subjects: z.record(name, pcrNumbers.nullable()),
  certification_key: certificationKey.nullish(),
})
export type QuoteParameters = z.infer<typeof quoteParameters>

/** `format` is demanded by the Rust agent. */
const logParameters = z.object({
  starting_offset: z.number().int().min(0).nullish(),
  entry_count: z.number().int().min(0).nullish(),
  format: name.nullish(),
})
export type LogParameters = z.infer<typeof logParameters>
export const parametersOf = { tpm_quote: quoteParameters, ima_log: logParameters, uefi_log: logParameters } as const

/** The answer 201 to it, as an agent reads it. Its header Location says where the evidence goes. */
export const openedAttestation = z.object({
  data: z.object({
    attributes: z.object({
      evidence_requested: z
        .array(z.object({ evidence_class: name, evidence_type: name, chosen_parameters: z.unknown() }))
        .min(1)
        .max(MAX_ITEMS),
    }),
  }),
})

/** `PATCH` to that place. `type: "error"` with no evidence says that the agent could not collect it. Texts are of any length: the body is bounded. */
export const submission = z.object({
  data: z.object({
    type: z.enum(['attestation', 'error']),
    attributes: z.object({
      evidence_collected: z.array(z.object({ evidence_class: name, evidence_type: name, data: z.unknown() })).max(MAX_ITEMS),
    }),
  }),
})
export type Submission = z.infer<typeof submission>
export const dataOf = {
  tpm_quote: z.object({ subject_data: text(65_536), message: text(8192), signature: text(8192) }),
  /** `entries_raw` (ours) has the lines whose names are not UTF-8, as `splitRawLines` writes them. */
  ima_log: z.object({ entry_count: z.number().int().min(0).nullish(), entries: z.string(), entries_raw: z.string().nullish() }),
  /** `systemd_measurement_list` (ours) is that of `GET /quotes/integrity`. */
  uefi_log: z.object({ entries: z.string(), systemd_measurement_list: text(1 << 20).nullish() }),
} as const

/** The answer 202 to it, as an agent reads it. */
export const acceptedEvidence = z.object({
  meta: z.object({ seconds_to_next_attestation: z.number().int().min(0).max(31_536_000).nullish() }).nullish(),
})
