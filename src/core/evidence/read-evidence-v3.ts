import type { z } from 'zod'
import type { IntegrityQuote } from '../api/agent.ts'
import { dataOf, IMA_LOG, type Submission, submission, TPM_QUOTE, UEFI_LOG } from '../api/push/attestation.ts'

/** What a machine that brings its evidence by itself was asked for. */
export interface AskedEvidence {
  /** Of its attestation key, as enrolled: what the machine says of them is not looked at. */
  algorithms: { hash: string; encryption: string; signing: string }
  /** Index of the first entry of the measurement list that was asked for; null when it was not asked for. */
  imaOffset: number | null
  bootLog: boolean
}

/**
 * Evidence of API 3.0 in the form of `results` of API 2.x, by which it is read, judged and kept. What was not asked for is left aside. @returns null for what is no evidence:
 * a machine that brings nonsense is judged, never an exception.
 */
export function resultsOfV3(body: unknown, asked: AskedEvidence): IntegrityQuote | null {
  const parsed = submission.safeParse(body)
  if (!parsed.success) return null
  const quote = collected(parsed.data, TPM_QUOTE)
  const ima = asked.imaOffset === null ? undefined : collected(parsed.data, IMA_LOG)
  const boot = asked.bootLog ? collected(parsed.data, UEFI_LOG) : undefined
  if (!quote) return null
  const { hash, encryption, signing } = asked.algorithms
  return {
    quote: `r${quote.message}:${quote.signature}:${quote.subject_data}`,
    hash_alg: hash,
    enc_alg: encryption,
    sign_alg: signing,
    ...(ima ? { ima_measurement_list: wholeLines(ima.entries), ima_measurement_list_entry: asked.imaOffset } : {}),
    ...(ima?.entries_raw ? { ima_measurement_list_raw: ima.entries_raw } : {}),
    ...(boot ? { mb_measurement_list: boot.entries } : {}),
  }
}

/** The first of this type; undefined when there is none, or it cannot be read. */
function collected<T extends keyof typeof dataOf>(
  { data }: Submission,
  { evidence_type: type }: { evidence_type: T },
): z.infer<(typeof dataOf)[T]> | undefined {
  const item = data.attributes.evidence_collected.find((given) => given.evidence_type === type)
  return item && (dataOf[type].safeParse(item.data).data as z.infer<(typeof dataOf)[T]> | undefined)
}

/** Agents that cut the list drop its last newline. */
const wholeLines = (entries: string): string => (entries === '' || entries.endsWith('\n') ? entries : `${entries}\n`)
