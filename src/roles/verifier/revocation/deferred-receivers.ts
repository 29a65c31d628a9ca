import { setImmediate as turn } from 'node:timers/promises'
import { causeChain } from '../../../core/errors.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Clock } from '../../../io/clock.ts'
import { ALL_AGENTS } from '../../../io/db/deferred-notices.ts'
import type { RevocationStore } from '../../../io/db/revocation-store.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import type { Logger } from '../../../io/log/logger.ts'

export interface DeferredReceiversOptions {
  store: Pick<RevocationStore, 'expandOldest'>
  retrySeconds: number
  clock: Clock
  events: EventStream
  logger: Logger
  /** @param revocation whose targets are machines that are told of it from now on. */
  begin(revocation: StoredRevocation): void
}

/** Revocations whose machines are told when there is room. */
export interface DeferredReceivers {
  /** Says that there are some, now and then. */
  warn(): void
  /** Makes receivers of machines, as long as there is room. Does not throw. */
  expand(): Promise<void>
}

const WARN_AGAIN_MS = 10 * 60_000

export function createDeferredReceivers(options: DeferredReceiversOptions): DeferredReceivers {
  const { store, retrySeconds, clock, events, logger, begin } = options
  let warnedAt = Number.NEGATIVE_INFINITY
  let isExpanding = false
  let hasFailed = false

  async function expandAll(): Promise<void> {
    for (;;) {
      const expanded = await store.expandOldest(clock.now() - retrySeconds * 1000)
      hasFailed = false
      if (!expanded) return
      const { revocation, became } = expanded
      if (became === 'told') begin(revocation)
      if (became === 'too_old') events.raise(givenUp(revocation))
      await turn()
    }
  }

  return {
    warn() {
      if (clock.monotonic() - warnedAt < WARN_AGAIN_MS) return
      warnedAt = clock.monotonic()
      logger.warn(
        'many machines fail at once: the other machines are told of them one after the other. Was a policy changed that they share?',
      )
    },
    async expand() {
      if (isExpanding) return
      isExpanding = true
      try {
        await expandAll()
      } catch (error) {
        if (!hasFailed)
          logger.error(`machines that are still to be told of revocations cannot be looked up: ${causeChain(error).join(': ')}`)
        hasFailed = true
      }
      isExpanding = false
    },
  }
}

const givenUp = ({ agentId, id }: StoredRevocation): VerifierEvent => ({
  ...{ type: 'revocation_given_up', agent_id: agentId, revocation: id, target: ALL_AGENTS },
  reason: 'too many machines failed at the same time',
})
