import type { HashName } from '../tpm/algorithms.ts'
import { columnDefect, type ImaEntry, isViolation, templateHash } from './entry.ts'
import type { PcrReplay } from './pcr-replay.ts'

/** The entries of a log, one after another, on their way into the PCR. */
export class LogReplay {
  /** The PCR has the quoted value. */
  isThere = false
  /** The template hash that the column of the last entry must be; null for a violation, which has none. */
  expected: string | null = null
  readonly #pcr: PcrReplay
  readonly #logHash: HashName

  constructor(pcr: PcrReplay, logHash: HashName) {
    this.#pcr = pcr
    this.#logHash = logHash
  }

  /** Extends by an entry whose template hash column is that of its data, or by a violation. @returns false when it is neither: then nothing has happened. */
  extendIfTrue(entry: ImaEntry): boolean {
    if (isViolation(entry.column, this.#logHash)) {
      this.expected = null
      this.isThere = this.#pcr.extend(null)
      return true
    }
    const isThere = this.#pcr.extendIf(entry.data, entry.column)
    if (isThere === null) return false
    this.expected = entry.column
    this.isThere = isThere
    return true
  }

  /** Extends by an entry whose column is another hash. @returns why the line cannot be read; it then contributes nothing, as upstream has it. */
  extendAnyway(entry: ImaEntry): string | null {
    const defect = columnDefect(entry)
    if (defect) return defect
    this.expected = templateHash(this.#logHash, entry.data)
    this.isThere = this.#pcr.extend(entry.data)
    return null
  }

  value(): Buffer {
    return this.#pcr.value()
  }
}
