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
