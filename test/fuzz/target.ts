import { isKeylimeError } from '../../src/core/errors.ts'

/** One reader of bytes from outside, and what must hold of it. */
export interface Target {
  /** Good inputs to begin with, of which the fuzzer makes others. */
  seeds: () => readonly Uint8Array[]
  /** Feeds one input to the reader. Throws when it does not keep to what it promises; an input that is refused in the promised way is no failure. */
  run: (input: Buffer) => void | Promise<void>
  /** Longest input that is tried, in bytes; 4096 unless given. */
  maxBytes?: number
  /** False where time need not be linear in size, with the reason beside it: inputs are not pumped then, either. */
  isTimed?: false
  /** Words that the fuzzer puts into inputs. */
  words?: readonly string[]
}

/** What `read` returns; null when it refuses the input with a KeylimeError of one of these codes. Any other exception is a finding. */
export function unlessRefused<T>(codes: readonly string[], read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    return refusedBy(error, codes)
  }
}

/** The same of a promise. */
export async function unlessRefusedLater<T>(codes: readonly string[], read: () => Promise<T>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    return refusedBy(error, codes)
  }
}

function refusedBy(error: unknown, codes: readonly string[]): null {
  if (!isKeylimeError(error)) throw error
  if (!codes.includes(error.code)) throw new Error(`refused as ${error.code}, not as ${codes.join(' or ')}`, { cause: error })
  if (error.message.length > MAX_MESSAGE) throw new Error(`refused in ${error.message.length} characters`)
  return null
}

/** A message is for a log line: whatever it quotes of the input is cut. */
const MAX_MESSAGE = 4000

/** @throws Error with the words when it does not hold. */
export function demand(holds: boolean, otherwise: string | (() => string)): void {
  if (!holds) throw new Error(typeof otherwise === 'string' ? otherwise : otherwise())
}

export const text = (...lines: readonly string[]): Buffer => Buffer.from(lines.join('\n'))
