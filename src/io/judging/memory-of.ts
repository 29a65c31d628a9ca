import type { JudgedRound, ReadPolicy } from '../../core/judging/judging.ts'

/** Memory in the result of a job that a worker hands over: it is done with it. */
export function memoryOf(output: unknown): ArrayBuffer[] {
  if (output instanceof Uint8Array) return ownMemory(output)
  if (typeof output !== 'object' || output === null) return []
  const { kept, bytes, large } = output as { kept?: Extract<JudgedRound, { kind: 'judged' }>['kept'] } & Partial<
    Pick<ReadPolicy, 'bytes'>
  > & {
      large?: Map<string, Uint8Array>
    }
  return [kept?.evidence, bytes, ...(large?.values() ?? [])].flatMap((part) => (part ? ownMemory(part) : []))
}

/** Small Buffers share theirs with others: they are copied. */
const ownMemory = (bytes: Uint8Array): ArrayBuffer[] =>
  bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer] : []
