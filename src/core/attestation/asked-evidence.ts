import { openedAttestation, parametersOf } from '../api/push/attestation.ts'
import { DELIVERY, type DeliveryParameters, deliveryParameters } from '../api/push/delivery.ts'
import { KeylimeError } from '../errors.ts'
import { cutText } from '../verdict/bounded-text.ts'
import { BOOT_LOG_FORMAT, IMA_LIST_FORMAT } from './offer-evidence.ts'

/** One thing that a verifier wants of an agent. */
export type AskedItem =
  | { readonly type: 'tpm_quote'; readonly challenge: Buffer; readonly pcrs: readonly number[] }
  | { readonly type: 'uefi_log' }
  /** @param count at most so many entries; null: all. */
  | { readonly type: 'ima_log'; readonly offset: number; readonly count: number | null }
  | ({ readonly type: 'delivery' } & DeliveryParameters)

export interface Asked {
  /** In the order of the verifier. */
  readonly items: readonly AskedItem[]
  /** Types that nobody here knows: they are passed over. */
  readonly unknown: readonly string[]
}

/** What was offered, as far as a request can go beyond it. */
export interface Offered {
  readonly scheme: string
  readonly hash: string
  /** PCRs of the bank of that hash. */
  readonly pcrs: readonly number[]
  /** This verifier was told that payloads are taken. */
  readonly delivery?: boolean
}

/** A TPM signs no more of a verifier's bytes (TPM2B_DATA holds a TPMT_HA of SHA-512). */
const MAX_CHALLENGE = 64
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * What the 201 of a negotiation asks for, each type once. @throws KeylimeError `malformed` for what cannot be read, `invalid_request` for what was never offered: another scheme
 * or hash than the key has, PCRs that are not there, the same thing twice, or nothing at all that is known.
 */
export function readAsked(document: unknown, offered: Offered): Asked {
  const read = openedAttestation.safeParse(document)
  if (!read.success) throw new KeylimeError('malformed', 'what the verifier asks for cannot be read')
  const { evidence_requested: requested } = read.data.data.attributes
  const items: AskedItem[] = []
  const unknown: string[] = []
  for (const { evidence_type: type, chosen_parameters: parameters } of requested) {
    const item = askedItem(type, parameters, offered)
    if (item === null) unknown.push(cutText(type, 64))
    else if (items.some((other) => other.type === item.type)) throw asksFor(`${type} twice`)
    else items.push(item)
  }
  if (items.length === 0) throw asksFor(`nothing that this agent knows${unknown.length > 0 ? `: ${unknown.join(', ')}` : ''}`)
  return { items, unknown }
}

/** Null for a type that nobody here knows, or that was not offered to this verifier. */
function askedItem(type: string, parameters: unknown, offered: Offered): AskedItem | null {
  if (type === 'tpm_quote') return askedQuote(parameters, offered)
  if (type === 'uefi_log' || type === 'ima_log') return askedLog(type, parameters)
  return type === DELIVERY.evidence_type && offered.delivery ? askedDelivery(parameters) : null
}

function askedDelivery(given: unknown): AskedItem {
  const read = deliveryParameters.safeParse(given)
  if (!read.success) throw new KeylimeError('malformed', 'the delivery that the verifier speaks of cannot be read')
  return { type: 'delivery', ...read.data }
}

function askedQuote(given: unknown, { scheme, hash, pcrs }: Offered): AskedItem {
  const read = parametersOf.tpm_quote.safeParse(given)
  if (!read.success) throw new KeylimeError('malformed', 'what the verifier asks of a quote cannot be read')
  const chosen = read.data
  if (chosen.signature_scheme !== scheme) throw asksFor(`a signature by ${chosen.signature_scheme}; the key signs by ${scheme}`)
  if (chosen.hash_algorithm !== hash) throw asksFor(`a quote of ${chosen.hash_algorithm}; the key signs with ${hash}`)
  const selected = [...new Set(chosen.selected_subjects[hash] ?? [])].toSorted((a, b) => a - b)
  const missing = selected.filter((pcr) => !pcrs.includes(pcr))
  if (missing.length > 0) throw asksFor(`PCR ${missing.join(', ')} of ${hash}, which this TPM does not have`)
  const challenge = BASE64.test(chosen.challenge) ? Buffer.from(chosen.challenge, 'base64') : Buffer.from(chosen.challenge, 'utf8')
  if (challenge.length > MAX_CHALLENGE) throw asksFor(`a challenge of ${challenge.length} bytes, ${MAX_CHALLENGE} at most can be signed`)
  return { type: 'tpm_quote', challenge, pcrs: selected }
}

function askedLog(type: 'uefi_log' | 'ima_log', given: unknown): AskedItem {
  const read = parametersOf[type].safeParse(given ?? {})
  if (!read.success) throw new KeylimeError('malformed', `what the verifier asks of ${type} cannot be read`)
  const { starting_offset: offset, entry_count: count, format } = read.data
  const own = type === 'uefi_log' ? BOOT_LOG_FORMAT : IMA_LIST_FORMAT
  if (format && format !== own) throw asksFor(`${type} as ${format}; it was offered as ${own}`)
  return type === 'uefi_log' ? { type } : { type, offset: offset ?? 0, count: count ?? null }
}

const asksFor = (what: string) => new KeylimeError('invalid_request', `the verifier asks for ${cutText(what, 300)}`)
