import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { KEYLIME } from '../e2e/deployment.ts'
import { cacheDirectory, rustAgent } from './upstream.ts'

/** What one case came to. A cell counts as one check, a case that compares many things counts each. */
export interface Outcome {
  passed: number
  failed: number
  /** Why nothing was run. */
  skipped?: string
  /** For the table: seconds by step, numbers of comparisons. */
  facts: Record<string, string>
  /** What failed, in full. */
  failures: string[]
}

export interface Case {
  part: string
  name: string
  run(): Promise<Outcome>
}

export interface Result extends Outcome {
  part: string
  name: string
  seconds: number
  /** ISO date. */
  at: string
  /** Of the executables that were run. */
  build: string
}

/** Results of earlier runs, kept in the cache directory so that a run that was broken off goes on where it was. */
export class Results {
  readonly #file = path.join(cacheDirectory(), 'results.json')
  readonly #build = fingerprint()
  readonly #known: Record<string, Result>

  constructor() {
    this.#known = fs.existsSync(this.#file) ? (JSON.parse(fs.readFileSync(this.#file, 'utf8')) as Record<string, Result>) : {}
  }

  /** A result of these same executables that needs no repetition. */
  done({ part, name }: Case): Result | undefined {
    const known = this.#known[`${part} ${name}`]
    return known && known.build === this.#build && known.failed === 0 && known.skipped === undefined ? known : undefined
  }

  record({ part, name }: Case, outcome: Outcome, seconds: number): Result {
    const result = { part, name, ...outcome, seconds, at: new Date().toISOString().slice(0, 10), build: this.#build }
    this.#known[`${part} ${name}`] = result
    fs.writeFileSync(`${this.#file}.new`, JSON.stringify(this.#known, null, 1))
    fs.renameSync(`${this.#file}.new`, this.#file)
    return result
  }

  get all(): Result[] {
    return Object.values(this.#known)
  }
}

function fingerprint(): string {
  const hash = createHash('sha256').update(fs.readFileSync(KEYLIME))
  const rust = rustAgent()
  if (rust) hash.update(fs.readFileSync(rust))
  return hash.digest('hex').slice(0, 16)
}
