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
  readonly equivalent: boolean
  readonly reason: string
}

/** Read by people, and by `npm run mutate`. */
export const SURVIVORS: readonly Survivor[] = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'survivors.json'), 'utf8'))

export const survivorOf = (file: string, { code, from, to }: Mutant, known: readonly Survivor[] = SURVIVORS): Survivor | undefined =>
  known.find((one) => one.file === file && one.code === code && one.from === from && one.to === to)
