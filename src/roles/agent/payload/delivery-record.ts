import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'

/** How far the last delivery got. Kept in the tmpfs beside the payload, so it lives exactly as long. */
export interface DeliveryRecord {
  /** Digest of U and payload, or of the order of an operator. */
  delivery: string
  /** `pending`: unpacked, not started yet. `started`: must never be started again. */
  script: 'none' | 'pending' | 'started' | 'done'
  files?: number | undefined
  /** Of a script that is done: its exit code, and why it did not end well. */
  exit?: number | null | undefined
  error?: string | null | undefined
}

export const DELIVERY_RECORD = '.delivery.json'
const shape = z.object({
  delivery: z.string(),
  script: z.enum(['none', 'pending', 'started', 'done']),
  files: z.number().optional(),
  exit: z.number().nullish(),
  error: z.string().nullish(),
})

export function readDeliveryRecord(secure: string): DeliveryRecord | null {
  try {
    return shape.parse(JSON.parse(fs.readFileSync(path.join(secure, DELIVERY_RECORD), 'utf8')))
  } catch {
    return null
  }
}

export const writeDeliveryRecord = (secure: string, record: DeliveryRecord): Promise<void> =>
  writeFileAtomic(path.join(secure, DELIVERY_RECORD), JSON.stringify(record), 0o600)
