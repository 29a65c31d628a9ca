import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain } from '../../../core/errors.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import type { Clock } from '../../../io/clock.ts'
import type { DeliveryResult, RevocationStore } from '../../../io/db/revocation-store.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { keyOf } from './receiver.ts'

/** A notice on its way to one receiver. */
export interface Delivery {
  revocation: StoredRevocation
  target: string
  attempts: number
}

/** Stores who was told, many in one commit, and then says so. */
export interface DeliveryLog {
  note(delivery: Delivery, state: DeliveryResult['state'], lastError: string | null): void
  /** Runs `look` while nothing is being stored. */
  between<T>(look: () => Promise<T>): Promise<T>
  flush(): Promise<void>
}

export interface DeliveryLogOptions {
  store: Pick<RevocationStore, 'record'>
  events: EventStream
  clock: Pick<Clock, 'now'>
  logger: Logger
  /** Stored as done. @param key `keyOf` */
  onDone(key: string): void
  /** Reasons of which nothing is said. */
  unsaid: ReadonlySet<string>
}

type Told = DeliveryResult & { agentId: string }

export function createDeliveryLog({ store, events, clock, logger, onDone, unsaid }: DeliveryLogOptions): DeliveryLog {
  /** What is not stored yet; the last word of each delivery. */
  let results = new Map<string, Told>()
  let hasFailed = false
  const records = createSerialQueue()

  async function record(): Promise<void> {
    const batch = results
    if (batch.size === 0) return
    results = new Map()
    try {
      await store.record([...batch.values()])
      hasFailed = false
      for (const [key, result] of batch) {
        if (result.state !== 'pending') onDone(key)
        tell(result)
      }
    } catch (error) {
      results = new Map([...batch, ...results])
      if (!hasFailed) logger.error(`who was told cannot be stored, and is kept until it can: ${causeChain(error).join(': ')}`)
      hasFailed = true
    }
  }

  function tell({ revocationId, agentId, target, state, lastError }: Told): void {
    const delivery = { agent_id: agentId, revocation: revocationId, target }
    const reason = lastError ?? ''
    if (state === 'told') events.raise({ type: 'revocation_told', ...delivery })
    if (state === 'acted') events.raise({ type: 'revocation_acted', ...delivery })
    if (state === 'failed') events.raise({ type: 'revocation_failed', ...delivery, reason })
    if (state === 'refused') events.raise({ type: 'revocation_refused', ...delivery, reason })
    if (state === 'given_up' && !unsaid.has(reason)) events.raise({ type: 'revocation_given_up', ...delivery, reason })
  }

  return {
    note({ revocation, target, attempts }, state, lastError) {
      const { id: revocationId, createdAt, agentId } = revocation
      const told = { revocationId, createdAt, agentId, target, state, attempts, at: clock.now(), lastError }
      results.set(keyOf(revocation, target), told)
    },
    between: (look) => records.run(look),
    flush: () => records.run(record),
  }
}
