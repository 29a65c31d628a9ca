import { LOGS, type RoundEvidence, readEvidence, type StoredEvidence, storeEvidence } from '../../core/explanation/stored-evidence.ts'
import type { KeptEvidence } from '../../core/judging/judging.ts'
import { packJson, unpackJson } from './packed-json.ts'

/** Of one agent's answer, in characters. */
const MAX_TEXT = 48 << 20
/** As large as what is packed can be: a database that was changed cannot fill the memory. */
const MAX_UNPACKED = 4 * MAX_TEXT
const NOTHING_KEPT: KeptEvidence = { evidence: null, cut: ['evidence'] }

/** Compresses evidence; a log that leaves no room is left out, and named. Never throws: the verdict does not wait for what is kept of it. */
export function packEvidence(evidence: RoundEvidence, maxBytes: number): KeptEvidence {
  try {
    for (let count = 0; count <= LOGS.length; count++) {
      const cut = LOGS.slice(0, count)
      const stored = storeEvidence(evidence, cut)
      if (textSize(stored.reply) > MAX_TEXT) continue
      const bytes = packJson(stored, maxBytes)
      if (bytes) return { evidence: bytes, cut: [...cut] }
    }
  } catch {} // no memory, or a text that is too long
  return NOTHING_KEPT
}

/** Counted before it is made one text: a hostile answer must not be copied first. */
function textSize(reply: unknown): number {
  if (typeof reply !== 'object' || reply === null) return 0
  return Object.values(reply).reduce((sum: number, value) => sum + (typeof value === 'string' ? value.length : 0), 0)
}

/** The content of what `packEvidence` made. @throws KeylimeError `invalid_request` when the database was changed by somebody else. */
export const unpackEvidence = (bytes: Uint8Array): StoredEvidence => readEvidence(unpackJson(bytes, MAX_UNPACKED))
