/** The order in which jobs get a worker. `public`: what anybody may cause. */
export const PRIORITIES = ['attestation', 'operator', 'public'] as const
export type Priority = (typeof PRIORITIES)[number]

/** What a worker can do, by name. Inputs and outputs are what the structured clone algorithm takes; Buffers arrive as Uint8Arrays. */
export type JobTable = Record<string, (input: never) => unknown>
export type InputOf<J extends JobTable, K extends keyof J> = Parameters<J[K]>[0]
export type OutputOf<J extends JobTable, K extends keyof J> = Awaited<ReturnType<J[K]>>

export interface JobTerms {
  priority: Priority
  /**
   * Milliseconds of processor time: what else runs on the machine is no fault of the job. Over it the worker is ended, and the job rejects with `unavailable` and
   * `details.budget`. One that has not used it up after some times as long by the clock rejects with `details.slow`.
   */
  budgetMs: number
  /** Size of the input: what the queue holds is bounded by it. */
  bytes: number
  /** Memory of the input that is handed over and not copied: worthless here from then on. */
  transfer?: readonly ArrayBuffer[]
}

/**
 * Memory of these bytes for `JobTerms.transfer`, and the bytes to send. What stands in a larger piece of memory, as small Buffers do, is copied first: a
 * transfer takes all of it away from everybody.
 */
export function movable(bytes: Uint8Array): { bytes: Uint8Array<ArrayBuffer>; memory: ArrayBuffer } {
  const whole = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer
  const own = (whole ? bytes : Uint8Array.from(bytes)) as Uint8Array<ArrayBuffer>
  return { bytes: own, memory: own.buffer }
}

/** Bytes that came from another thread, as a Buffer over the same memory. */
export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
