import type { DmDevice, DmDevices } from './device-mapper/judge-dm-event.ts'
import { type ImaKey, LazyKeys, looksLikeKey, readImaKey } from './keyring.ts'

/** What a log teaches on the way, kept with the progress between rounds. */
export interface Learned {
  /** Keys that the kernel loaded and the policy accepts, by keyring, in the order they were first seen. */
  keyrings: Map<string, LazyKeys>
  devices: DmDevices
  /** Buffers of this log that were read as keys. */
  keysRead: number
}

const MAX_KEYS = 1000
const MAX_KEYS_READ = 2000

export const nothingLearned = (): Learned => ({ keyrings: new Map(), devices: new Map(), keysRead: 0 })

/** @param text of `learnedText`, or empty. */
export function parseLearned(text: string): Learned {
  if (text === '') return nothingLearned()
  const { keyrings, devices } = JSON.parse(text) as { keyrings: [string, string][]; devices: [string, DmDevice][] }
  return { keyrings: new Map(keyrings.map(([name, ring]) => [name, new LazyKeys(ring)])), devices: new Map(devices), keysRead: 0 }
}

export const learnedText = ({ keyrings, devices }: Learned): string =>
  keyrings.size + devices.size === 0
    ? ''
    : JSON.stringify({ keyrings: [...keyrings].map(([name, keys]) => [name, keys.text()]), devices: [...devices] })

/** As `readImaKey`; `too_many` when this log has brought more keys than any kernel loads: each costs as much as a signature. */
export function readLoggedKey(learned: Learned, bytes: Buffer): ReturnType<typeof readImaKey> | 'too_many' {
  if (!looksLikeKey(bytes)) return null
  return learned.keysRead++ < MAX_KEYS_READ ? readImaKey(bytes) : 'too_many'
}

export function learnKey({ keyrings }: Learned, name: string, { id, key }: ImaKey): void {
  let count = 0
  for (const ring of keyrings.values()) count += ring.size
  if (count >= MAX_KEYS) return // the signatures of further keys do not count, which errs on the safe side
  const ring = keyrings.get(name) ?? new LazyKeys()
  ring.set(id, key)
  keyrings.set(name, ring)
}
