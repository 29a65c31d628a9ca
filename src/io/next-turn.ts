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
