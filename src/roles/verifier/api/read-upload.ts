import type { z } from 'zod'
import { parseMessage } from '../../../core/api/parse-message.ts'
import type { Judging } from '../../../core/judging/judging.ts'

/** A message that may hold policies, whose texts stay bytes. */
export interface Upload<T> {
  message: T
  /** A text of the message in UTF-8, however long it is. Undefined when the member is not there, null or empty. */
  text(member: (keyof T & string) | typeof PAYLOAD): Buffer | undefined
}

/** Of an object in the message. */
const PAYLOAD = 'delivery.payload'
/** Members whose texts stay bytes, and the name that older tenants have for one. */
const LARGE = ['runtime_policy', 'mb_policy', 'mb_refstate', PAYLOAD]
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
  for (const [name, bytes] of large) if (!LARGE.includes(name)) putBack(given!, name, bytes.toString('utf8', 0, LONGEST_OTHER))
  const message = parseMessage(schema, value, what)
  return {
    message,
    text(member) {
      const short = member === PAYLOAD ? (message as Delivering).delivery?.payload : (message as Record<string, unknown>)[member]
      return (
        large.get(isOld && member === 'mb_policy' ? 'mb_refstate' : member) ??
        (typeof short === 'string' && short !== '' ? Buffer.from(short) : undefined)
      )
    },
  }
}

interface Delivering {
  delivery?: { payload?: unknown } | null
}

/** @param path a member, or one of an object that is a member. */
function putBack(message: Record<string, unknown>, path: string, text: string): void {
  if (Object.hasOwn(message, path)) message[path] = text
  else {
    const [object, member] = path.split('.', 2) as [string, string]
    ;(message[object] as Record<string, unknown>)[member] = text
  }
}
