import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'

/** How far the last delivery got. Kept in the tmpfs beside the payload, so it lives exactly as long. */
export interface DeliveryRecord {
  /** Digest of U and payload. */
  delivery: string
  /** `pending`: unpacked, not started yet. `started`: must never be started again. */
  script: 'none' | 'pending' | 'started' | 'done'
}

export const DELIVERY_RECORD = '.delivery.json'
const shape = z.object({ delivery: z.string(), script: z.enum(['none', 'pending', 'started', 'done']) })

export function readDeliveryRecord(secure: string): DeliveryRecord | null {
  try {
    return shape.parse(JSON.parse(fs.readFileSync(path.join(secure, DELIVERY_RECORD), 'utf8')))
  } catch {
    return null
  }
}

export const writeDeliveryRecord = (secure: string, record: DeliveryRecord): Promise<void> =>
  writeFileAtomic(path.join(secure, DELIVERY_RECORD), JSON.stringify(record), 0o600)
