/** Some milliseconds of decrypting. */
const BYTES_A_TURN = 1 << 20

/** What is read of bodies in one turn of the event loop: a read of one connection may bring two megabytes, and many connections may be ready at once. */
export interface TurnShare {
  /** @returns whether more may be read in this turn; otherwise the reader pauses until `whenNext` calls it. */
  takes(bytes: number): boolean
  whenNext(resume: () => void): void
}

export function createTurnShare(bytesATurn: number = BYTES_A_TURN): TurnShare {
  let taken = 0
  let waiting: (() => void)[] = []
  let isCounting = false

  function next(): void {
    isCounting = false
    taken = 0
    const resumed = waiting
    waiting = []
    for (const resume of resumed) resume()
  }

  return {
    takes(bytes) {
      if (!isCounting) setImmediate(next)
      isCounting = true
      taken += bytes
      return taken < bytesATurn
    },
    whenNext: (resume) => void waiting.push(resume),
  }
}
