/** Resolves in the next turn of the event loop: one promise for all who wait in the same turn. */
export type NextTurn = () => Promise<void>

export function createNextTurn(): NextTurn {
  let next: Promise<void> | null = null
  const begin = (resolve: () => void) =>
    void setImmediate(() => {
      next = null
      resolve()
    })
  return () => {
    next ??= new Promise(begin)
    return next
  }
}

/** Work in slices: a turn of a busy event loop is long, so who gives way after each small step waits much longer than he works. */
export type GiveWay = () => Promise<void> | undefined

/** @param longestMs of one slice. @returns what is called between two steps: it gives way when the slice is used up. */
export function createGiveWay(longestMs: number, monotonic: () => number = () => performance.now()): GiveWay {
  let began = monotonic()
  return () =>
    monotonic() - began < longestMs
      ? undefined
      : new Promise((resolve) =>
          setImmediate(() => {
            began = monotonic()
            resolve()
          }),
        )
}

/** Has work done in the next turn of the event loop, one after the other. */
export type InNextTurn = (work: () => void) => void

/** What throws does so as any callback of the event loop; the rest is done in the turn after that. @param turn calls back in the next turn. */
export function createInNextTurn(turn: (next: () => void) => void = setImmediate): InNextTurn {
  let waiting: (() => void)[] = []
  const next = () => {
    const due = waiting
    waiting = []
    let at = 0
    try {
      while (at < due.length) due[at++]!()
    } finally {
      if (at < due.length) {
        if (waiting.length === 0) turn(next)
        waiting.unshift(...due.slice(at))
      }
    }
  }
  return (work) => {
    if (waiting.push(work) === 1) turn(next)
  }
}
