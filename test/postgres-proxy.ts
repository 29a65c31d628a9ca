import net from 'node:net'

/** Stands between a client and a server, and cuts the way between them. */
export interface PostgresProxy {
  readonly port: number
  /** At the next commit: it does not arrive, or its answer does not. */
  cutAtCommit(when: 'before' | 'after'): void
  /** All connections, and refuses new ones until `heal`, which ends every trouble. */
  cut(): void
  heal(): void
  /** Nothing arrives any more, and nobody is told. */
  freeze(): void
  close(): Promise<void>
}

const COMMIT = Buffer.from('commit\0')
const ANSWER_MS = 200

export async function postgresProxy(target: number): Promise<PostgresProxy> {
  const pairs = new Set<[net.Socket, net.Socket]>()
  let cutting: 'before' | 'after' | null = null
  let isCut = false
  let isFrozen = false
  const server = net.createServer((client) => {
    if (isCut) return void client.destroy()
    const upstream = net.connect(target, '127.0.0.1')
    const pair: [net.Socket, net.Socket] = [client, upstream]
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    let deaf = false
    client.on('data', (bytes) => {
      if (isFrozen) return
      const when = bytes.includes(COMMIT) ? cutting : null
      if (when === 'before') {
        cutting = null
        return end()
      }
      if (when === 'after') {
        cutting = null
        deaf = true
        setTimeout(end, ANSWER_MS)
      }
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => void (deaf || isFrozen || client.write(bytes)))
    for (const socket of pair) socket.on('error', end).on('close', end)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const cutAll = () => {
    for (const [client, upstream] of pairs) for (const socket of [client, upstream]) socket.destroy()
  }
  return {
    port: (server.address() as net.AddressInfo).port,
    cutAtCommit(when) {
      cutting = when
    },
    cut() {
      isCut = true
      cutAll()
    },
    heal() {
      cutting = null
      isCut = false
      isFrozen = false
    },
    freeze() {
      isFrozen = true
    },
    async close() {
      cutAll()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
