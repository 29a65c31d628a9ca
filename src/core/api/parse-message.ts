import type { z } from 'zod'
import { KeylimeError } from '../errors.ts'

/** Parses an outside message with its schema. @throws KeylimeError `invalid_request` that names each wrong field and never shows its value. */
export function parseMessage<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const defects = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
  throw new KeylimeError('invalid_request', `${what} is not valid: ${defects.join('; ')}`)
}
