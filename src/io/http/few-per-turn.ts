import type { Socket } from 'node:net'

/**
 * Does `work` for what comes, at most `count` in one turn of the event loop: a new connection over TLS takes a millisecond, and the system hands over all that wait at once. The others have
 * their turn in the next ones, in the order in which they came.
 */
export function fewPerTurn<T>(count: number, work: (one: T) => void): (one: T) => void {
  const waiting: T[] = []
  let done = 0

  function next(): void {
    done = 0
    for (const one of waiting.splice(0, count)) begin(one)
  }

  function begin(one: T): void {
    if (done++ === 0) setImmediate(next)
    work(one)
  }

  return (one) => {
    if (done < count && waiting.length === 0) begin(one)
    else waiting.push(one)
  }
}

/** The same of new connections. One that is reset while it waits has ended, and is no error of anybody's. */
export function connectionsByTurn(count: number, begin: (socket: Socket) => void): (socket: Socket) => void {
  const ended = () => undefined
  const turn = fewPerTurn<Socket>(count, (socket) => {
    socket.off('error', ended)
    if (!socket.destroyed) begin(socket)
  })
  return (socket) => {
    socket.on('error', ended)
    turn(socket)
  }
}
