import { keptClient } from './kept-client.ts'
import type { PostgresPlace } from './postgres-pool.ts'

/** Hears what a server tells on a channel. That is quick, and not certain: who must know also asks now and then. */
export interface Listener {
  /** Listens again after a cut. Never throws. */
  ensure(): Promise<void>
  close(): Promise<void>
}

/** @param heard told of each notice, and after a pause in which some may have been missed. */
export function postgresListener(place: PostgresPlace, channel: string, heard: () => void): Listener {
  const listen = keptClient(
    place,
    async (client) => {
      client.on('notification', heard)
      await client.query(`listen ${channel}`)
    },
    heard,
  )
  return { ensure: listen.ensure, close: listen.close }
}
