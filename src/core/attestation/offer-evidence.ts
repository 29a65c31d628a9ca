import { IMA_LOG, type LogCapabilities, type Negotiation, type QuoteCapabilities, TPM_QUOTE, UEFI_LOG } from '../api/push/attestation.ts'
import { DELIVERY } from '../api/push/delivery.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { akAlgorithms } from './ak-algorithms.ts'

/** What a machine can prove, as its agent found it. */
export interface ProvableFacts {
  readonly ak: PublicArea
  /** All that the TPM implements, in its own order. */
  readonly hashAlgorithms: readonly string[]
  readonly signatureSchemes: readonly string[]
  /** Allocated banks with the numbers of their PCRs. */
  readonly banks: ReadonlyMap<string, readonly number[]>
  /** Name under which the verifier is to know the key: `ak`. */
  readonly serverIdentifier: string
  readonly uefiVersion: string
  readonly bootEvents: number
  readonly imaEntries: number
  /** Seconds since the epoch, or null when the kernel does not say. */
  readonly bootTime: number | null
  /** The verifier has said that it knows payloads of this kind: others never hear of them. */
  readonly delivers?: boolean
  /** It comes before its time, as only a verifier of ours lets it. */
  readonly isEarly?: boolean
}

export const BOOT_LOG_FORMAT = 'application/octet-stream'
export const IMA_LIST_FORMAT = 'text/plain'

/** The body of `POST /v3.0/agents/:id/attestations`: quote, boot log and IMA list, in this order, also when a log is empty (push-wire 2). */
export function offerEvidence(facts: ProvableFacts): Negotiation {
  const quote: QuoteCapabilities = {
    component_version: '2.0',
    hash_algorithms: [...facts.hashAlgorithms],
    signature_schemes: [...facts.signatureSchemes],
    available_subjects: Object.fromEntries([...facts.banks].map(([bank, pcrs]) => [bank, [...pcrs]])),
    certification_keys: [keyOf(facts)],
  }
  const boot: LogCapabilities = {
    evidence_version: facts.uefiVersion,
    entry_count: facts.bootEvents,
    supports_partial_access: false,
    appendable: false,
    formats: [BOOT_LOG_FORMAT],
  }
  const ima: LogCapabilities = {
    entry_count: facts.imaEntries,
    supports_partial_access: true,
    appendable: true,
    formats: [IMA_LIST_FORMAT],
  }
  return {
    data: {
      type: 'attestation',
      attributes: {
        evidence_supported: [
          { ...TPM_QUOTE, capabilities: quote },
          { ...UEFI_LOG, capabilities: boot },
          { ...IMA_LOG, capabilities: ima },
          ...(facts.delivers ? [{ ...DELIVERY, capabilities: { version: 1 } }] : []),
        ],
        system_info: { boot_time: bootTimeText(facts.bootTime) },
        ...(facts.isEarly ? { early: true } : {}),
      },
    },
  }
}

function keyOf({ ak, serverIdentifier }: ProvableFacts): QuoteCapabilities['certification_keys'][number] {
  const { signing, hash } = akAlgorithms(ak)
  return {
    key_class: 'asymmetric',
    key_algorithm: ak.type,
    key_size: ak.keyBits,
    server_identifier: serverIdentifier,
    local_identifier: ak.name.toString('hex'),
    public: ak.bytes.toString('base64'),
    allowable_hash_algorithms: [hash],
    allowable_signature_schemes: [signing],
  }
}

/** RFC 3339 in UTC, whole seconds; the beginning of time where the kernel does not say, as the Rust agent has it. */
const bootTimeText = (seconds: number | null): string => new Date((seconds ?? 0) * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
