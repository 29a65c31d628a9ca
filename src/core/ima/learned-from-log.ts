import type { KeyObject } from 'node:crypto'
import type { DmDevice, DmDevices } from './device-mapper/judge-dm-event.ts'
import { type ImaKey, keyringText, parseKeyring } from './keyring.ts'

/** What a log teaches on the way, kept with the progress between rounds. */
export interface Learned {
  /** Keys that the kernel loaded and the policy accepts, by keyring, in the order they were first seen. */
  keyrings: Map<string, Map<number, KeyObject>>
  devices: DmDevices
}

const MAX_KEYS = 1000

export const nothingLearned = (): Learned => ({ keyrings: new Map(), devices: new Map() })

/** @param text of `learnedText`, or empty. */
export function parseLearned(text: string): Learned {
  if (text === '') return nothingLearned()
  const { keyrings, devices } = JSON.parse(text) as { keyrings: [string, string][]; devices: [string, DmDevice][] }
  return { keyrings: new Map(keyrings.map(([name, keys]) => [name, new Map(parseKeyring(keys, 'learned'))])), devices: new Map(devices) }
}

export const learnedText = ({ keyrings, devices }: Learned): string =>
  keyrings.size + devices.size === 0
    ? ''
    : JSON.stringify({ keyrings: [...keyrings].map(([name, keys]) => [name, keyringText(keys)]), devices: [...devices] })

export function learnKey({ keyrings }: Learned, name: string, { id, key }: ImaKey): void {
  let count = 0
  for (const ring of keyrings.values()) count += ring.size
  if (count >= MAX_KEYS) return // the signatures of further keys do not count, which errs on the safe side
  const ring = keyrings.get(name) ?? new Map<number, KeyObject>()
  ring.set(id, key)
  keyrings.set(name, ring)
}
