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
  const isPlain =
    isText(memberOf(value, 'quote'), 65_536) &&
    isText(memberOf(value, 'hash_alg'), MAX_NAME) &&
    isText(memberOf(value, 'enc_alg'), MAX_NAME) &&
    isText(memberOf(value, 'sign_alg'), MAX_NAME) &&
    isTextOrNone(memberOf(value, 'pubkey'), 8192) &&
    isTextOrNone(memberOf(value, 'ima_measurement_list'), Number.POSITIVE_INFINITY) &&
    isTextOrNone(memberOf(value, 'ima_measurement_list_raw'), 1 << 20) &&
    isTextOrNone(memberOf(value, 'mb_measurement_list'), Number.POSITIVE_INFINITY) &&
    isTextOrNone(memberOf(value, 'systemd_measurement_list'), 1 << 20) &&
    isWholeOrNone(memberOf(value, 'ima_measurement_list_entry'), 0) &&
    isWholeOrNone(memberOf(value, 'boottime'), Number.NEGATIVE_INFINITY)
  return isPlain ? (value as IntegrityQuote) : null
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
const isWholeOrNone = (value: unknown, min: number): boolean => isNone(value) || (Number.isSafeInteger(value) && (value as number) >= min)
