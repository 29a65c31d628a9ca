import { z } from 'zod'
import { cutText } from '../../verdict/bounded-text.ts'

/** An error document, as an agent reads it: upstream's access layer gives a title, its models a code, and both a detail. */
const errorAnswer = z.object({
  errors: z
    .array(z.object({ code: z.string().nullish(), title: z.string().nullish(), detail: z.string().nullish() }))
    .min(1)
    .max(64),
})

/** Why a verifier refused, bounded. */
export interface Refusal {
  /** Of upstream's list, such as `old_attestation`; empty where the answer has none. */
  readonly code: string
  /** In the verifier's words; empty when it gave none that can be read. */
  readonly reason: string
}

const MAX_REASON = 300
const MAX_ERRORS = 3

/** @param document a parsed JSON, of any shape. */
export function readRefusal(document: unknown): Refusal {
  const read = errorAnswer.safeParse(document)
  if (!read.success) return { code: '', reason: '' }
  const { errors } = read.data
  const words = errors.slice(0, MAX_ERRORS).map(({ detail, title, code }) => detail || title || code || '')
  return { code: cutText(errors[0]!.code ?? '', 64), reason: cutText(words.filter((word) => word !== '').join('; '), MAX_REASON) }
}
