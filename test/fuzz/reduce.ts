import { readFileSync, writeFileSync } from 'node:fs'
import type { Target } from './target.ts'

const MAX_RUNS = 20_000

/** Writes `FILE.reduced`: the smallest input that is found to be wrong in the same words. Needs no fuzzer. @throws Error when nothing is wrong with the input. */
export async function reduceFile(target: Target, file: string): Promise<void> {
  const input = readFileSync(file)
  const reason = await defectOf(target, input)
  if (reason === null) throw new Error(`nothing is wrong with ${file}`)
  console.log(reason)
  const reduced = await reduce(input, async (smaller) => sameKind(await defectOf(target, smaller), reason))
  writeFileSync(`${file}.reduced`, reduced)
  console.log(`${input.length} bytes, ${reduced.length} of them needed: ${file}.reduced\n${JSON.stringify(reduced.toString('latin1'))}`)
}

/** The smallest part of the bytes that is found for which `isWrong` still holds. */
export async function reduce(input: Buffer, isWrong: (input: Buffer) => Promise<boolean>): Promise<Buffer> {
  let best = input
  let runs = 0
  for (let size = Math.ceil(best.length / 2); size >= 1 && runs < MAX_RUNS; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length && runs < MAX_RUNS; runs++) {
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      if (await isWrong(smaller)) best = smaller
      else at += size
    }
  }
  return best
}

async function defectOf(target: Target, input: Buffer): Promise<string | null> {
  try {
    await target.run(input)
    return null
  } catch (error) {
    return String((error as Error).stack ?? error)
  }
}

/** The place in the code, without what the message quotes of the input. */
const sameKind = (a: string | null, b: string): boolean => a !== null && placeOf(a) === placeOf(b)
const placeOf = (stack: string): string => /^ +at .*/m.exec(stack)?.[0] ?? stack
