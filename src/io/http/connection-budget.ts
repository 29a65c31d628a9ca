import fs from 'node:fs'
import os from 'node:os'

/** What a kept connection takes, with its buffers and what the HTTP client has for it (measured: 85 KB). */
const CONNECTION_BYTES = 90 << 10
/** Descriptors that something else needs: the database, logs, whoever calls. */
const OTHER_DESCRIPTORS = 1000
const FEWEST = 100

/** How many connections may be kept open: half of the memory, and the descriptors that a process may have. */
export function affordableConnections(): number {
  const memory = Math.min(os.totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
  const descriptors = openFilesLimit(readOrEmpty('/proc/self/limits')) - OTHER_DESCRIPTORS
  return Math.max(FEWEST, Math.min(Math.floor(memory / 2 / CONNECTION_BYTES), descriptors))
}

/** The soft limit, of which Node has made the hard one; as proc(5) shows it. */
export function openFilesLimit(limits: string): number {
  const limit = /^Max open files\s+(\S+)/m.exec(limits)?.[1]
  return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit)
}

function readOrEmpty(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** A place for one connection. */
export interface Place {
  /** More than once is once. */
  release(): void
}

/**
 * Places for connections that are kept. Who has one keeps it as long as the connection lives, however late it is used again; who finds none does without. Nobody is sent away for
 * another: machines that are asked in turn would send each other away, and every connection would be made anew.
 */
export class ConnectionBudget {
  readonly #max: number
  #taken = 0

  constructor(max: number) {
    this.#max = max
  }

  take(): Place | null {
    if (this.#taken >= this.#max) return null
    this.#taken++
    let isTaken = true
    return {
      release: () => {
        if (isTaken) this.#taken--
        isTaken = false
      },
    }
  }
}
