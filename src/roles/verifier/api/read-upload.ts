import type { z } from 'zod'
import { parseMessage } from '../../../core/api/parse-message.ts'
import type { Judging } from '../../../core/judging/judging.ts'

/** A message that may hold policies, whose texts stay bytes. */
export interface Upload<T> {
  message: T
  /** A text of the message in UTF-8, however long it is. Undefined when the member is not there, null or empty. */
  text(member: keyof T & string): Buffer | undefined
}

/**
 * Reads a body that an operator sent, which may have many megabytes. @param what names it in errors.
 * @throws KeylimeError `invalid_request`; `unavailable` when there is no room to read it.
 */
export async function readUpload<T extends z.ZodType>(
  judging: Pick<Judging, 'readJson'>,
  schema: T,
  { body, what }: { body: unknown; what: string },
): Promise<Upload<z.infer<T>>> {
  const { value, large } = Buffer.isBuffer(body) ? await judging.readJson(body) : { value: undefined, large: new Map<string, Buffer>() }
  const message = parseMessage(schema, value, what)
  return {
    message,
    text(member) {
      const short = (message as Record<string, unknown>)[member]
      return large.get(member) ?? (typeof short === 'string' && short !== '' ? Buffer.from(short) : undefined)
    },
  }
}
