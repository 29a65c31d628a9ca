import fs from 'node:fs'
import os from 'node:os'

/** What a kept connection takes, with its buffers and what the HTTP client has for it (measured: 85 KB). */
const CONNECTION_BYTES = 90 << 10
/** Descriptors that something else needs: the database, logs, whoever calls. */
const OTHER_DESCRIPTORS = 1000
const FEWEST = 100
/** Machines that are asked seldom: for more of them than that, to resume a session each time costs less than the memory of a connection. 50,000 at a minute take 2 GB less. */
const SELDOM_SECONDS = 60
const MOST_OF_SELDOM = 20_000

/** How many connections may be kept open: half of the memory, and the descriptors that a process may have. @param interval seconds between two requests on one. */
export function affordableConnections(interval: number): number {
  const memory = Math.min(os.totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
  const descriptors = openFilesLimit(readOrEmpty('/proc/self/limits')) - OTHER_DESCRIPTORS
  return Math.max(
    FEWEST,
    Math.min(Math.floor(memory / 2 / CONNECTION_BYTES), descriptors, interval < SELDOM_SECONDS ? Number.POSITIVE_INFINITY : MOST_OF_SELDOM),
  )
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
