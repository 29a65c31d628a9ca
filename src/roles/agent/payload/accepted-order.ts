import { z } from 'zod'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { momentText, type VerifiedOrder } from '../../../core/payload/delivery-order.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { readTextSync } from '../../../io/files/read-file.ts'

/** The newest order that this machine has accepted. Kept over restarts: an older one, put back by whoever has the verifier's database, is refused. */
export interface AcceptedOrder {
  readonly generation: number
  /** SHA-256 of the order's text, hex. */
  readonly digest: string
  readonly enrolment: string
}

const shape = z.object({ generation: z.number().int().min(1), digest: z.string(), enrolment: z.string() })

/** Null for none yet. @throws KeylimeError `file_failed` for a file that cannot be read: without it nobody knows which order is too old. */
export function readAcceptedOrder(file: string): AcceptedOrder | null {
  try {
    return shape.parse(JSON.parse(readTextSync(file)))
  } catch (cause) {
    if (isKeylimeError(cause) && cause.code === 'not_found') return null
    throw new KeylimeError('file_failed', `${file} does not say which delivery was the newest: none is accepted`, {
      cause,
      hint: 'if you know that nobody has put an older one back, remove the file, and deliver again with `keylime tenant update`',
    })
  }
}

/**
 * Durable when it returns, and before anything is done with the order. The same order may come again: it was cut off, or its answer was lost.
 * @throws KeylimeError `refused` for an older one, or another one of the same generation; `file_failed`.
 */
export async function acceptOrder(file: string, { generation, digest, enrolment }: VerifiedOrder): Promise<void> {
  const newest = readAcceptedOrder(file)
  if (newest?.digest === digest) return
  if (newest && generation < newest.generation)
    throw refused(`it is of ${momentText(generation)}, and this machine has had one of ${momentText(newest.generation)}`, newest)
  if (newest && generation === newest.generation)
    throw refused(`this machine has had another one of the same moment, ${momentText(generation)}`, newest)
  await writeFileAtomic(file, `${JSON.stringify({ generation, digest, enrolment } satisfies AcceptedOrder)}\n`, 0o600)
}

const refused = (why: string, { generation: newest }: AcceptedOrder) =>
  new KeylimeError('refused', `the delivery order is refused: ${why}`, {
    details: { newest },
    hint: 'someone put an older delivery back, or an operator’s clock was ahead when the other one was ordered; `keylime tenant update` with a payload makes a new one',
  })
