import { createHash } from 'node:crypto'
import type { HashName } from '../tpm/algorithms.ts'
import { inBank } from './example/run.ts'
import type { DigestByBank, ReferenceState } from './reference-state.ts'
import { describeEvent, type SeenEvent } from './see-events.ts'

/** Which event of the log is probably the one that was not measured so. */
export interface Explanation {
  cause: string
  event: number
  type: string
  stands_for: string
  /** Digest in the log, and the one with which the PCR would be explained. */
  digest: string | null
  measured?: string
}

/** Of one PCR: the value it began with, the one that was quoted, and the digests that the reference state knows. */
export interface Mismatch {
  bank: HashName
  start: Buffer
  quoted: Buffer
  known: readonly Buffer[]
}

const MAX_EVENTS = 150
const MAX_TRIES = 20_000

/**
 * Looks for the one change of a log that leads to the quoted PCR: events that were never measured, or a digest of the reference state in place of another.
 * For people: the verdict is a failure anyhow. Null when no single change explains it. Bounded, because a machine chooses its log.
 */
export function explainMismatch(events: readonly SeenEvent[], { bank, start, quoted, known }: Mismatch): Explanation | null {
  const measured = events.filter((seen) => seen.digest !== null && seen.type !== 'EV_NO_ACTION')
  if (measured.length === 0 || measured.length > MAX_EVENTS) return null
  const digests = measured.map((seen) => Buffer.from(seen.digest!, 'hex'))
  const extend = (value: Buffer, digest: Buffer) => createHash(bank).update(value).update(digest).digest()
  const before = [start]
  for (const digest of digests) before.push(extend(before.at(-1)!, digest))
  const told = (i: number, cause: string, substitute?: Buffer): Explanation => {
    const { event, type, standsFor: stands_for, digest } = measured[i]!
    return { cause, event: event.number, type, stands_for, digest, ...(substitute ? { measured: substitute.toString('hex') } : {}) }
  }
  const end = before.slice(0, -1).findIndex((value) => value.equals(quoted))
  if (end >= 0) return told(end, `${describeEvent(measured[end]!)} and what follows it in this PCR were never measured`)
  const leads = (value: Buffer, from: number) => digests.slice(from).reduce(extend, value).equals(quoted)
  for (let i = 0; i < digests.length; i++) if (leads(before[i]!, i + 1)) return told(i, `${describeEvent(measured[i]!)} was never measured`)
  if (digests.length ** 2 * known.length > MAX_TRIES) return null
  for (let i = 0; i < digests.length; i++)
    for (const substitute of known)
      if (leads(extend(before[i]!, substitute), i + 1))
        return told(i, `${describeEvent(measured[i]!)} was measured with another digest, which the reference state knows`, substitute)
  return null
}

/** All digests of a reference state that may be in a PCR of this bank. */
export function knownDigests(state: ReferenceState | null, bank: HashName): Buffer[] {
  if (!state) return []
  const sets: DigestByBank[] = [...state.mokList, ...state.mokListX, ...state.firmware.flatMap(({ scrtm, volumes }) => [scrtm, ...volumes])]
  const boots = state.kernels.flatMap(({ digests }) => Object.values({ ...digests.get(bank) }))
  return [...new Set([...inBank(sets, bank), ...boots])].map((digest) => Buffer.from(digest, 'hex'))
}
