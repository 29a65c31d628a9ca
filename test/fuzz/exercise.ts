import type { Target } from './target.ts'

/** A pumped input has so many bytes: what is quadratic takes seconds then. */
const PUMPED_BYTES = 1 << 16
/** One in so many inputs is pumped: it costs as much as some hundred others. */
const PUMP_EVERY = 512
/** What an input may take: generous for code that is instrumented, and far below what is quadratic. */
const FIXED_MS = 60
const MS_A_KILOBYTE = 12
const TRIES = 3

/**
 * Feeds inputs to a target, and sees that the time it takes grows with their size and no faster. For a fuzzer: tests use `target.run`, whose verdict no
 * clock has a part in. @param keep is given an input that fails and is not the fuzzer's own.
 */
export function exercise(target: Target, keep: (input: Buffer) => void): (input: Buffer) => void | Promise<void> {
  let count = 0
  return (input) => {
    const waiting = timed(target, input)
    if (++count % PUMP_EVERY !== 0 || input.length === 0 || target.isTimed === false) return waiting
    const longer = pumped(input, count)
    const kept = (error: unknown) => {
      keep(longer)
      throw error
    }
    if (waiting) return waiting.then(() => timed(target, longer)).catch(kept)
    try {
      return timed(target, longer)
    } catch (error) {
      return kept(error)
    }
  }
}

function timed(target: Target, input: Buffer, tries = TRIES): Promise<void> | undefined {
  const start = process.cpuUsage()
  const check = (): Promise<void> | undefined => {
    const { user, system } = process.cpuUsage(start)
    const [took, may] = [(user + system) / 1000, FIXED_MS + (MS_A_KILOBYTE * input.length) / 1024]
    if (took <= may || target.isTimed === false) return undefined
    if (tries > 1) return timed(target, input, tries - 1)
    throw new Error(`it takes ${Math.round(took)} ms for ${input.length} bytes: ${JSON.stringify(input.toString('latin1', 0, 200))}`)
  }
  const waiting = target.run(input)
  return waiting ? waiting.then(check) : check()
}

/** A slice of the input, again and again where it stands. The same input and number give the same. */
export function pumped(input: Buffer, seed: number): Buffer {
  let state = (seed ^ (input.length << 16) ^ input[0]!) >>> 0
  const next = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  const start = next(input.length)
  const end = start + 1 + next(Math.min(24, input.length - start))
  const slice = input.subarray(start, end)
  const times = Math.max(1, Math.floor((PUMPED_BYTES - input.length) / slice.length))
  return Buffer.concat([input.subarray(0, start), Buffer.alloc(times * slice.length, slice), input.subarray(next(2) ? start : end)])
}
