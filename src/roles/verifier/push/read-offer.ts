import { hash } from 'node:crypto'
import { parseBoundedJson } from '../../../core/api/bounded-json.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type Negotiation, negotiation } from '../../../core/api/push/attestation.ts'

/** What a machine says it can prove. */
export interface Offer extends OfferHead {
  evidence(): Negotiation['data']['attributes']['evidence_supported']
}

/** What is kept of an offer, to know it again. */
export interface OfferHead {
  /** Of its very bytes. */
  readonly sha256: string
  /** The machine has a reason to come before its time. */
  readonly early: boolean
  readonly bootTime: string | null
}

/** Machines send the same bytes each time: those are not read again. @param last offer of the same machine. @throws KeylimeError `invalid_request`. */
export function readOffer(body: Buffer, last: OfferHead | undefined): Offer {
  const sha256 = hash('sha256', body, 'base64url')
  if (last?.sha256 === sha256) {
    const { early, bootTime } = last
    return { sha256, early, bootTime, evidence: () => attributesOf(body).evidence_supported }
  }
  const { early, system_info: system, evidence_supported: evidence } = attributesOf(body)
  return { sha256, early: early === true, bootTime: system?.boot_time ?? null, evidence: () => evidence }
}

const attributesOf = (body: Buffer): Negotiation['data']['attributes'] =>
  parseMessage(negotiation, parseBoundedJson(body, 'the body'), 'the attestation').data.attributes
