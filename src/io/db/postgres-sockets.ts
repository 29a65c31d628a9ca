import net from 'node:net'

/** The sockets of a pool, those that are still connecting too. */
export interface PostgresSockets {
  /** For `pg`, which connects it. */
  stream(): net.Socket
  readonly isCut: boolean
  /** Ends all at once, and those that are still to come. */
  cut(): void
}

export function postgresSockets(): PostgresSockets {
  const open = new Set<net.Socket>()
  let isCut = false
  return {
    stream() {
      const socket = new net.Socket()
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      if (isCut) setImmediate(() => socket.destroy())
      return socket
    },
    get isCut() {
      return isCut
    },
    cut() {
      isCut = true
      for (const socket of open) socket.destroy()
    },
  }
}
