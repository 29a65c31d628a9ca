import { createFloodGuard } from './flood-guard.ts'
import { cleanEvent, type VerifierEvent } from './verifier-event.ts'

export interface RaisedEvent {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly event: VerifierEvent
}

/** Takes events in the order in which they were raised. It must not wait: what takes time it does later. */
export type EventConsumer = (raised: RaisedEvent) => void

/** The one way from what happened to whoever wants to know. */
export interface EventStream {
  /** Tells all consumers before it returns, and never throws. Call it AFTER the change is durable. */
  raise(...events: readonly VerifierEvent[]): void
  /** @returns the end of the subscription. */
  subscribe(name: string, consumer: EventConsumer): () => void
}

export interface EventStreamOptions {
  /** Milliseconds since the epoch. */
  now(): number
  /** A consumer that threw, or `null` with an event that is none: both are bugs, and neither disturbs the others. */
  failed(consumer: string | null, error: unknown): void
}

/** Events that a consumer raises come after the one that it was given: all consumers see one order. */
export function createEventStream({ now, failed }: EventStreamOptions): EventStream {
  const consumers = new Set<{ name: string; consumer: EventConsumer }>()
  const guard = createFloodGuard()
  const waiting: RaisedEvent[] = []
  let telling = false

  function accept(event: VerifierEvent): void {
    try {
      const at = now()
      const passed = guard(event, at)
      if (passed) waiting.push({ at, event: cleanEvent(passed) })
    } catch (error) {
      failed(null, error)
    }
  }

  function tell(raised: RaisedEvent): void {
    for (const { name, consumer } of [...consumers]) {
      try {
        consumer(raised)
      } catch (error) {
        failed(name, error)
      }
    }
  }

  return {
    raise(...events) {
      for (const event of events) accept(event)
      if (telling) return
      telling = true
      for (let next = waiting.shift(); next; next = waiting.shift()) tell(next)
      telling = false
    },
    subscribe(name, consumer) {
      const entry = { name, consumer }
      consumers.add(entry)
      return () => void consumers.delete(entry)
    },
  }
}
