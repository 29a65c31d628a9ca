import { setImmediate as turn } from 'node:timers/promises'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import type { PendingDelivery, PendingQuestion, RevocationStore } from '../../../io/db/revocation-store.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import type { Delivery, DeliveryLog } from './delivery-log.ts'
import { MAX_WAITING, type MachineQueues } from './machine-queues.ts'
import { MAX_READY } from './notice-outbox.ts'

/** Takes up deliveries that are stored as not done: one look after the other, and nothing is recorded between a look and what it begins. What was done meanwhile is thus not done once more. */
export interface NoticeTaker {
  /** Page by page. @returns how many are held here now. */
  all(of: Omit<PendingQuestion, 'after' | 'limit'>, isMine: (target: string) => boolean): Promise<number>
  /** The oldest of each of these machines, as many as have room. */
  some(targets: readonly string[], isMine: (target: string) => boolean): Promise<void>
  /** Nothing more is begun. */
  stop(): void
}

export interface NoticeTakerOptions {
  store: Pick<RevocationStore, 'pending'>
  log: DeliveryLog
  queues: Pick<MachineQueues, 'moreOf'>
  /** @returns whether it is held from now on, and was not before. */
  begin(delivery: Delivery): boolean
}

const PAGE = 500
/** More than are held of one machine: there is a new one among them. */
const OF_ONE = MAX_READY + 3 * MAX_WAITING

export function createNoticeTaker({ store, log, queues, begin }: NoticeTakerOptions): NoticeTaker {
  const looks = createSerialQueue()
  let isStopped = false

  function beginEach(found: readonly PendingDelivery[], isMine: (target: string) => boolean): number {
    let count = 0
    for (const delivery of found) if (isMine(delivery.target) && begin(delivery)) count++
    return count
  }

  async function takeAll(of: Omit<PendingQuestion, 'after' | 'limit'>, isMine: (target: string) => boolean): Promise<number> {
    const known = new Map<number, StoredRevocation>()
    let count = 0
    for (let after: PendingQuestion['after']; ; ) {
      const page = await log.between(async () => {
        const found = await store.pending({ ...of, after, limit: PAGE }, known)
        count += beginEach(found, isMine)
        return found
      })
      if (page.length === 0 || isStopped) return count
      after = page.at(-1)
      await turn()
    }
  }

  async function takeSome(targets: readonly string[], isMine: (target: string) => boolean): Promise<void> {
    const known = new Map<number, StoredRevocation>()
    await log.flush() // what is done is not found again
    for (const target of targets) {
      if (isStopped) return
      await log.between(async () => {
        const found = await store.pending({ targets: [target], limit: OF_ONE }, known)
        beginEach(found, isMine)
        if (found.length === OF_ONE && isMine(target)) queues.moreOf(target)
      })
      await turn()
    }
  }

  return {
    all: (of, isMine) => looks.run(() => takeAll(of, isMine)),
    some: (targets, isMine) => (targets.length === 0 ? Promise.resolve() : looks.run(() => takeSome(targets, isMine))),
    stop() {
      isStopped = true
    },
  }
}
