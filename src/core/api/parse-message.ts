import type { z } from 'zod'
import { KeylimeError } from '../errors.ts'
import { cutText } from '../verdict/bounded-text.ts'

/** Parses an outside message with its schema. @throws KeylimeError `invalid_request` that names each wrong field and never shows its value. */
export function parseMessage<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new KeylimeError('invalid_request', `${what} is not valid: ${defectsOf(parsed.error)}`)
}

const MAX_DEFECTS = 10
const MAX_DEFECT = 200

/** What a schema found wrong, as one bounded text: names of fields may be of a stranger too. */
export function defectsOf({ issues }: Pick<z.ZodError, 'issues'>): string {
  const shown = issues.slice(0, MAX_DEFECTS).map(({ path, message }) => {
    const where = path.length === 0 ? 'body' : path.slice(0, MAX_DEFECTS).map(nameOf).join('.')
    return `${cutText(where, MAX_DEFECT)}: ${cutText(message, MAX_DEFECT)}`
  })
  return [...shown, ...(issues.length > MAX_DEFECTS ? [`and ${issues.length - MAX_DEFECTS} more`] : [])].join('; ')
}

const nameOf = (key: PropertyKey): string => String(key).slice(0, MAX_DEFECT + 1)
