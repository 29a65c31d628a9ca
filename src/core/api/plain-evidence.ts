import type { z } from 'zod'
import type { IntegrityQuote } from './agent.ts'
import type { dataOf, Submission } from './push/attestation.ts'

/**
 * Evidence as honest machines send it, told from all else without making anything: a schema makes some kilobytes of garbage for each reading. What is taken here the schema takes, too, and reads as the same, but for members that nobody
 * knows, which stay. Of what is not taken the schema says whether it is valid, and what is wrong.
 */
export function plainSubmission(value: unknown): Submission | null {
  const data = memberOf(value, 'data')
  const items = memberOf(memberOf(data, 'attributes'), 'evidence_collected')
  const type = memberOf(data, 'type')
  if ((type !== 'attestation' && type !== 'error') || !Array.isArray(items) || items.length > MAX_ITEMS) return null
  for (const item of items)
    if (
      !isText(memberOf(item, 'evidence_class'), MAX_NAME) ||
      !isText(memberOf(item, 'evidence_type'), MAX_NAME) ||
      !Object.hasOwn(item, 'data')
    )
      return null
  return value as Submission
}

const MAX_ITEMS = 16
const MAX_NAME = 64

/** The same of a quote in a submission. */
export function plainQuoteData(value: unknown): z.infer<(typeof dataOf)['tpm_quote']> | null {
  const isPlain =
    isText(memberOf(value, 'subject_data'), 65_536) &&
    isText(memberOf(value, 'message'), 8192) &&
    isText(memberOf(value, 'signature'), 8192)
  return isPlain ? (value as z.infer<(typeof dataOf)['tpm_quote']>) : null
}

/** The same of `results` of API 2.x. */
export function plainIntegrityQuote(value: unknown): IntegrityQuote | null {
  const named =
    isText(memberOf(value, 'quote'), 65_536) && ['hash_alg', 'enc_alg', 'sign_alg'].every((name) => isText(memberOf(value, name), MAX_NAME))
  if (!named) return null
  for (const name in TEXTS) if (!isTextOrNone(memberOf(value, name), TEXTS[name]!)) return null
  const entry = memberOf(value, 'ima_measurement_list_entry')
  const bootTime = memberOf(value, 'boottime')
  const areNumbers =
    (isNone(entry) || (Number.isSafeInteger(entry) && (entry as number) >= 0)) && (isNone(bootTime) || Number.isSafeInteger(bootTime))
  return areNumbers ? (value as IntegrityQuote) : null
}

/** Members that may be missing, with their longest lengths. */
const TEXTS: Readonly<Record<string, number>> = {
  pubkey: 8192,
  ima_measurement_list: Number.POSITIVE_INFINITY,
  ima_measurement_list_raw: 1 << 20,
  mb_measurement_list: Number.POSITIVE_INFINITY,
  systemd_measurement_list: 1 << 20,
}

/** Of an object, as JSON has them: what is inherited is none. */
function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

const isText = (value: unknown, max: number): boolean => typeof value === 'string' && value.length <= max
const isNone = (value: unknown): boolean => value === undefined || value === null
const isTextOrNone = (value: unknown, max: number): boolean => isNone(value) || isText(value, max)
