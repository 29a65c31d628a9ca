import type { PostgresPlace } from './postgres-pool.ts'
import { openClient } from './postgres-pool.ts'

/** Hears what a server tells on a channel. That is quick, and not certain: who must know also asks now and then. */
export interface Listener {
  /** Listens again after a cut. Never throws. */
  ensure(): Promise<void>
  close(): Promise<void>
}

/** @param heard told of each notice, and after a pause in which some may have been missed. */
export function postgresListener(place: PostgresPlace, channel: string, heard: () => void): Listener {
  let current: Awaited<ReturnType<typeof openClient>> | null = null
  let opening: Promise<void> | null = null
  let isClosed = false

  async function open(): Promise<void> {
    const client = await openClient(place)
    client.on('error', () => undefined)
    client.once('end', () => {
      if (current === client) current = null
    })
    client.on('notification', heard)
    await client.query(`listen ${channel}`)
    if (isClosed) return void (await client.end())
    current = client
    heard()
  }

  return {
    async ensure() {
      if (current || isClosed) return
      opening ??= open()
        .catch(() => undefined) // until then it is asked
        .finally(() => {
          opening = null
        })
      await opening
    },
    async close() {
      isClosed = true
      await opening
      await current?.end().catch(() => undefined)
    },
  }
}
