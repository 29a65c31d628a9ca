import { setImmediate as turn } from 'node:timers/promises'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain } from '../../../core/errors.ts'
import type { PendingDelivery, PendingQuestion, RevocationStore } from '../../../io/db/revocation-store.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { createGiveWay } from '../../../io/next-turn.ts'
import type { Delivery, DeliveryLog } from './delivery-log.ts'
import { MAX_WAITING, type MachineQueues, type Room } from './machine-queues.ts'
import { MAX_READY } from './notice-outbox.ts'

/** Takes up deliveries that are stored as not done: one look after the other, and nothing is recorded between a look and what it begins. What was done meanwhile is thus not done once more. */
export interface NoticeTaker {
  /** Page by page. @returns how many are held here now. */
  all(of: Omit<PendingQuestion, 'after' | 'limit'>, isMine: (target: string) => boolean): Promise<number>
  /** The oldest of some machines that have room for them again, what operators ordered first. What cannot be looked up or stored now is tried at the next call. Does not throw. */
  more(isMine: (target: string) => boolean): Promise<void>
  /** Nothing more is begun. */
  stop(): void
}

export interface NoticeTakerOptions {
  store: Pick<RevocationStore, 'pending' | 'postpone'>
  log: DeliveryLog
  queues: Pick<MachineQueues, 'moreOf' | 'withRoom' | 'silent' | 'silentStill'>
  logger: Logger
  /** @returns whether it is held from now on, and was not before. */
  begin(delivery: Delivery): boolean
}

const PAGE = 500
/** They are begun for so long in one turn of the event loop. */
const SLICE_MS = 10
/** Machines whose stored notices are looked up at once. */
const MORE_AT_ONCE = 200
/** More than are held of one machine: there is a new one among them. */
const OF_ONE = MAX_READY + 3 * MAX_WAITING

const NOT_REACHED = 'an earlier notice has not reached it yet'

export function createNoticeTaker({ store, log, queues, begin, logger }: NoticeTakerOptions): NoticeTaker {
  const looks = createSerialQueue()
  let isStopped = false
  let hasFailed = false

  /** Another verifier's are signed again, which takes a while. */
  async function beginEach(found: readonly PendingDelivery[], isMine: (target: string) => boolean): Promise<number> {
    const giveWay = createGiveWay(SLICE_MS)
    let count = 0
    for (const delivery of found) {
      if (isStopped) break
      if (isMine(delivery.target) && begin(delivery)) count++
      await giveWay()
    }
    return count
  }

  async function takeAll(of: Omit<PendingQuestion, 'after' | 'limit'>, isMine: (target: string) => boolean): Promise<number> {
    const known = new Map<number, StoredRevocation>()
    let count = 0
    for (let after: PendingQuestion['after']; !isStopped; ) {
      const page = await log.between(async () => {
        const found = await store.pending({ ...of, after, limit: PAGE }, known)
        count += await beginEach(found, isMine)
        return found
      })
      if (page.length === 0) break
      after = page.at(-1)
      await turn()
    }
    return count
  }

  async function takeSome(rooms: readonly Room[], isMine: (target: string) => boolean): Promise<void> {
    const known = new Map<number, StoredRevocation>()
    await log.flush() // what is done is not found again
    for (const { target, hasOrders } of rooms)
      for (const ordered of hasOrders ? ([true, undefined] as const) : [undefined]) {
        if (isStopped) return
        await log.between(async () => {
          const found = await store.pending({ targets: [target], ordered, limit: OF_ONE }, known)
          await beginEach(found, isMine)
          if (found.length === OF_ONE && isMine(target)) queues.moreOf({ target, hasOrders: ordered === true })
        })
        await turn()
      }
  }

  async function takeMore(isMine: (target: string) => boolean): Promise<void> {
    const [silent, rooms] = [queues.silent(MORE_AT_ONCE), queues.withRoom(MORE_AT_ONCE)]
    if (silent.length + rooms.length === 0) return
    try {
      if (silent.length > 0) await store.postpone(silent, NOT_REACHED)
      if (rooms.length > 0) await looks.run(() => takeSome(rooms, isMine))
      hasFailed = false
    } catch (error) {
      for (const target of silent) queues.silentStill(target)
      for (const room of rooms) queues.moreOf(room)
      if (!hasFailed) logger.error(`stored notices are told later: ${causeChain(error).join(': ')}`)
      hasFailed = true
    }
  }

  return {
    all: (of, isMine) => looks.run(() => takeAll(of, isMine)),
    more: takeMore,
    stop() {
      isStopped = true
    },
  }
}
