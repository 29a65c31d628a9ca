import type { z } from 'zod'
import type { IntegrityQuote } from '../api/agent.ts'
import { plainQuoteData, plainSubmission } from '../api/plain-evidence.ts'
import { dataOf, IMA_LOG, type Submission, submission, TPM_QUOTE, UEFI_LOG } from '../api/push/attestation.ts'
import { DELIVERY, type DeliveryReport, deliveryEvidence } from '../api/push/delivery.ts'
import { cutText } from '../verdict/bounded-text.ts'

/** What a machine that brings its evidence by itself was asked for. */
export interface AskedEvidence {
  /** Of its attestation key, as enrolled: what the machine says of them is not looked at. */
  algorithms: { hash: string; encryption: string; signing: string }
  /** Index of the first entry of the measurement list that was asked for; null when it was not asked for. */
  imaOffset: number | null
  bootLog: boolean
  /** How a delivery goes, and the transport key that its quote binds. */
  delivery?: boolean | undefined
}

export interface ResultsOfV3 {
  results: IntegrityQuote | null
  /** What the machine says of a delivery; null for nothing. */
  report: DeliveryReport | null
}

/**
 * Evidence of API 3.0 in the form of `results` of API 2.x, by which it is read, judged and kept. What was not asked for is left aside. @returns null as results for what is no
 * evidence: a machine that brings nonsense is judged, never an exception.
 */
export function resultsOfV3(body: unknown, asked: AskedEvidence): ResultsOfV3 {
  const plain = plainSubmission(body)
  if (plain) return resultsOfSubmission(plain, asked)
  const parsed = submission.safeParse(body)
  return parsed.success ? resultsOfSubmission(parsed.data, asked) : NONE
}

/** The same of what was read already. */
export function resultsOfSubmission(given: Submission, asked: AskedEvidence): ResultsOfV3 {
  const delivery = asked.delivery ? collected(given, DELIVERY) : undefined
  const results = quoteOf(given, asked, delivery?.transport_key ?? null)
  return { results, report: results && delivery?.report ? bounded(delivery.report) : null }
}

/** Of the texts of a machine in its report: they are stored, logged and shown. */
const MAX_TEXT = 1000

function bounded({ error, script_error, ...report }: DeliveryReport): DeliveryReport {
  return {
    ...report,
    ...(error ? { error: cutText(error, MAX_TEXT) } : {}),
    ...(script_error ? { script_error: cutText(script_error, MAX_TEXT) } : {}),
  }
}

const NONE: ResultsOfV3 = { results: null, report: null }

function quoteOf(given: Submission, asked: AskedEvidence, transportKey: string | null): IntegrityQuote | null {
  const quote = plainQuoteData(itemOf(given, TPM_QUOTE)?.data) ?? collected(given, TPM_QUOTE)
  const ima = asked.imaOffset === null ? undefined : collected(given, IMA_LOG)
  const boot = asked.bootLog ? collected(given, UEFI_LOG) : undefined
  if (!quote) return null
  const { hash, encryption, signing } = asked.algorithms
  return {
    quote: `r${quote.message}:${quote.signature}:${quote.subject_data}`,
    hash_alg: hash,
    enc_alg: encryption,
    sign_alg: signing,
    ...(transportKey === null ? {} : { pubkey: transportKey }),
    ...(ima ? { ima_measurement_list: wholeLines(ima.entries), ima_measurement_list_entry: asked.imaOffset } : {}),
    ...(ima?.entries_raw ? { ima_measurement_list_raw: ima.entries_raw } : {}),
    ...(boot ? { mb_measurement_list: boot.entries } : {}),
    ...(boot?.systemd_measurement_list ? { systemd_measurement_list: boot.systemd_measurement_list } : {}),
  }
}

const readable = { ...dataOf, keylime_delivery: deliveryEvidence } as const

/** The first of this type; undefined when there is none, or it cannot be read. */
function collected<T extends keyof typeof readable>(
  given: Submission,
  of: { evidence_type: T },
): z.infer<(typeof readable)[T]> | undefined {
  const item = itemOf(given, of)
  return item && (readable[of.evidence_type].safeParse(item.data).data as z.infer<(typeof readable)[T]> | undefined)
}

function itemOf({ data }: Submission, { evidence_type: type }: { evidence_type: string }): { data?: unknown } | undefined {
  return data.attributes.evidence_collected.find((item) => item.evidence_type === type)
}

/** Agents that cut the list drop its last newline. */
const wholeLines = (entries: string): string => (entries === '' || entries.endsWith('\n') ? entries : `${entries}\n`)
