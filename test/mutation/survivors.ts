import fs from 'node:fs'
import path from 'node:path'
import type { Mutant } from './mutants.ts'

/** A mutant that no test notices, and why that is so. `equivalent`: it does what the source does, so no test could; it is left out. */
export interface Survivor {
  readonly file: string
  /** The line, without what is around it. */
  readonly code: string
  readonly from: string
  readonly to: string
  /** How many that look the same stand before it in the file; none when it is missing. */
  readonly nth?: number
  readonly equivalent: boolean
  readonly reason: string
}

/** Read by people, and by `npm run mutate`. */
export const SURVIVORS: readonly Survivor[] = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'survivors.json'), 'utf8'))

export const survivorOf = (file: string, mutant: Pick<Mutant, 'code' | 'from' | 'to' | 'nth'>): Survivor | undefined =>
  SURVIVORS.find(
    (one) =>
      one.file === file && (['code', 'from', 'to'] as const).every((name) => one[name] === mutant[name]) && (one.nth ?? 0) === mutant.nth,
  )
