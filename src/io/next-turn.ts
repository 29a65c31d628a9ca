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

/** Has work done in the next turn of the event loop, one after the other. @param work never throws. */
export type InNextTurn = (work: () => void) => void

export function createInNextTurn(): InNextTurn {
  let waiting: (() => void)[] = []
  const next = () => {
    const due = waiting
    waiting = []
    for (const work of due) work()
  }
  return (work) => {
    if (waiting.push(work) === 1) setImmediate(next)
  }
}
