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

  /** @returns why the line cannot be read; it then contributes nothing, as upstream has it. */
  extend(entry: ImaEntry): string | null {
    if (isViolation(entry.column, this.#logHash)) {
      this.expected = null
      this.isThere = this.#pcr.extend(null)
      return null
    }
    const isThere = this.#pcr.extendIf(entry.data, entry.column)
    const defect = isThere === null ? columnDefect(entry) : null
    if (defect) return defect
    this.expected = isThere === null ? templateHash(this.#logHash, entry.data) : entry.column
    this.isThere = isThere ?? this.#pcr.extend(entry.data)
    return null
  }

  value(): Buffer {
    return this.#pcr.value()
  }
}
