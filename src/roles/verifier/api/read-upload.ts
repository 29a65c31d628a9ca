import type { z } from 'zod'
import { parseMessage } from '../../../core/api/parse-message.ts'
import type { Judging } from '../../../core/judging/judging.ts'

/** A message that may hold policies, whose texts stay bytes. */
export interface Upload<T> {
  message: T
  /** A text of the message in UTF-8, however long it is. Undefined when the member is not there, null or empty. */
  text(member: keyof T & string): Buffer | undefined
}

/** Members whose texts stay bytes, and the name that older tenants have for one. */
const POLICIES = ['runtime_policy', 'mb_policy', 'mb_refstate']
/** More than any other member may have, so that its schema refuses what is cut here. */
const LONGEST_OTHER = 5 << 20

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
  const given = value as Record<string, unknown> | undefined
  const isOld = given !== undefined && large.has('mb_refstate') && !('mb_policy' in given)
  // What is no policy is never left out: a machine would be enrolled without it.
  for (const [name, bytes] of large) if (!POLICIES.includes(name)) given![name] = bytes.toString('utf8', 0, LONGEST_OTHER)
  const message = parseMessage(schema, value, what)
  return {
    message,
    text(member) {
      const short = (message as Record<string, unknown>)[member]
      return (
        large.get(isOld && member === 'mb_policy' ? 'mb_refstate' : member) ??
        (typeof short === 'string' && short !== '' ? Buffer.from(short) : undefined)
      )
    },
  }
}
