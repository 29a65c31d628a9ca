import { openClient, type PostgresPlace } from './postgres-pool.ts'

export type PostgresClient = Awaited<ReturnType<typeof openClient>>

/** A connection of its own, outside of the pool: for what lasts as long as a connection does, such as a lock or a subscription. */
export interface KeptClient {
  /** Null while there is none. */
  readonly current: PostgresClient | null
  /** @throws what the server says, or `prepare` does. */
  open(): Promise<void>
  /** Opens it again after a cut. Never throws: what it is for is asked for again at the next call. */
  ensure(): Promise<void>
  close(): Promise<void>
}

/** @param prepare what makes it useful; without that it is closed. @param opened told when it is. */
export function keptClient(
  place: PostgresPlace,
  prepare: (client: PostgresClient) => Promise<void>,
  opened: () => void = () => undefined,
): KeptClient {
  let current: PostgresClient | null = null
  let opening: Promise<void> | null = null
  let isClosed = false

  async function open(): Promise<void> {
    const client = await openClient(place)
    client.on('error', () => undefined)
    client.once('end', () => {
      if (current === client) current = null
    })
    try {
      await prepare(client)
    } catch (error) {
      await endSoon(client)
      throw error
    }
    if (isClosed) return endSoon(client)
    current = client
    opened()
  }

  return {
    get current() {
      return current
    },
    open,
    async ensure() {
      if (current || isClosed) return
      opening ??= open()
        .catch(() => undefined)
        .finally(() => {
          opening = null
        })
      await opening
    },
    async close() {
      isClosed = true
      await opening
      if (current) await endSoon(current)
    },
  }
}

/** A server that says nothing any more does not end its side. */
async function endSoon(client: PostgresClient): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS)
  await client.end().catch(() => undefined)
  clearTimeout(timer)
}

const GOODBYE_MS = 1000
