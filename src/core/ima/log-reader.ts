import { digestSize, HASH_NAMES, type HashName } from '../tpm/algorithms.ts'
import { columnDefect, type ImaEntry, inLowerCase, isViolation, readFields, templateHash } from './entry.ts'
import { looksLikeEntry } from './log-lines.ts'
import { TemplateData } from './template-data.ts'

/** What a line of a log says, and whether it is true. */
export interface ReadLine {
  /** From 1. */
  number: number
  /** Null for a line that cannot be read: then `defect` says why. Worthless when the next line is read. */
  entry: ImaEntry | null
  defect: string | null
  /** The algorithm by which the template hash fits the line; null when none does, and for a violation, which has none. */
  logHash: HashName | null
  isViolation: boolean
}

/** Lines that one entry may go over, and lines in vain for which that is tried: as `LogLines` has it. */
const MAX_LINES = 16
const MAX_ATTEMPTS = 100

/**
 * Reads the lines of a log for tools, which do not know its algorithm: that is the one by which template hashes of that size fit. Lines of one entry, whose name holds
 * a newline, are put together, as `judge-log` does it.
 */
export class LogReader {
  readonly #use: (line: ReadLine) => void
  readonly #data = new TemplateData()
  /** A line that is not true alone, and those behind it. */
  #waiting: string[] = []
  #number = 0
  #attempts = 0
  #afterViolation = false

  /** @param use is called for each entry, in order. */
  constructor(use: (line: ReadLine) => void) {
    this.#use = use
  }

  add(line: string): void {
    if (this.#waiting.length > 0) this.#continue(line)
    else if (line !== '') this.#begin(line)
  }

  end(): void {
    while (this.#waiting.length > 0) this.#giveUp()
  }

  #begin(line: string): void {
    const read = this.#read(line)
    const mayGoOn = !isTrue(read) && !this.#afterViolation && looksLikeEntry(line) && this.#attempts < MAX_ATTEMPTS
    if (mayGoOn) this.#waiting = [line]
    else this.#tell(read, line, 1)
  }

  #continue(line: string): void {
    this.#waiting.push(line)
    const text = this.#waiting.join('\n')
    const read = this.#read(text)
    if (isTrue(read)) {
      const lines = this.#waiting.length
      this.#waiting = []
      this.#tell(read, text, lines)
    } else if (this.#waiting.length >= MAX_LINES) this.#giveUp()
  }

  /** The first line that waits is what it is alone, and those behind it are read anew. */
  #giveUp(): void {
    const [first = '', ...others] = this.#waiting
    this.#waiting = []
    this.#attempts++
    this.#tell(this.#read(first), first, 1)
    for (const line of others) this.add(line)
  }

  #read(line: string): Omit<ReadLine, 'number'> {
    const fields = readFields(line, this.#data)
    const defect = typeof fields === 'string' ? fields : columnDefect(fields)
    if (typeof fields === 'string' || defect) return { entry: null, defect, logHash: null, isViolation: false }
    const entry = inLowerCase(fields)
    const hash = HASH_NAMES.find((name) => 2 * digestSize(name) === entry.column.length)
    if (!hash) return { entry, defect: null, logHash: null, isViolation: false }
    const violation = isViolation(entry.column, hash)
    const fits = !violation && templateHash(hash, fields.data) === entry.column
    return { entry, defect: null, logHash: fits ? hash : null, isViolation: violation }
  }

  #tell(read: Omit<ReadLine, 'number'>, line: string, lines: number): void {
    const isRest = this.#afterViolation && !read.entry && !looksLikeEntry(line) // of the violation's name, which no hash covers
    const number = this.#number + 1
    this.#number += lines
    this.#afterViolation = read.isViolation || isRest
    if (!isRest) this.#use({ number, ...read })
  }
}

const isTrue = ({ logHash, isViolation: violation }: Omit<ReadLine, 'number'>): boolean => logHash !== null || violation
