import { createHash } from 'node:crypto'
import path from 'node:path'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain, isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { leastAge, parseMetaData } from '../../../core/revocation/message.ts'
import { type NotifierKeys, type VerifiedRevocation, verifyNotice } from '../../../core/revocation/signature.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { clearRooms } from './action-room.ts'
import { type Action, findActions } from './find-action.ts'
import { HandledMessages } from './handled-messages.ts'
import type { KnownNotifiers } from './known-notifiers.ts'
import { NoticeOutcomes } from './notice-outcomes.ts'
import type { Acceptance, ReceivedRevocation, RevocationInbox } from './revocation-inbox.ts'
import { type ActionSurroundings, runAction } from './run-action.ts'
import { WaitingMessages } from './waiting-messages.ts'

export interface RevocationWorkerOptions {
  notifiers: KnownNotifiers
  unzipped: string
  configuredActions: readonly string[]
  actionsDirectory: string
  allowPayloadActions: boolean
  /** Go on with the next action when one fails, or stop as upstream's Rust agent does. */
  goOnAfterFailure: boolean
  /** Older ones are not acted upon, in seconds; 0: none is too old. */
  maxAgeSeconds: number
  clock: Clock
  surroundings: ActionSurroundings
  /** Of an action for which nothing could be written: the pause before it is tried again, and how long it is. */
  retry?: { everyMs: number; forMs: number }
  logger: Logger
}

interface Begun {
  since: number | null
  readonly ran: Set<string>
}

const RETRY = { everyMs: 10_000, forMs: 3_600_000 }
/** For what is too old by now. */
const LOOK_MS = 3_600_000

/**
 * Verifies notifications with the certificate of the unpacked package, or of the verifier itself, and runs the actions, one message after another. What comes before there is
 * a certificate waits for it, for a day at most, and so does, for an hour, what cannot be acted upon because the disk is full. A message is acted upon once, also over restarts.
 */
export function createRevocationWorker(options: RevocationWorkerOptions): RevocationInbox {
  const { logger, clock } = options
  const handled = new HandledMessages(path.join(options.surroundings.keylimeDir, 'handled-revocations'))
  const waiting = new WaitingMessages(path.join(options.surroundings.keylimeDir, 'waiting-revocations.json'))
  const outcomes = new NoticeOutcomes()
  const queue = createSerialQueue()
  let closed = false
  let isKeylessTold = false
  let retry: NodeJS.Timeout | undefined
  /** Messages whose actions began: since when they wait for room, and which of their actions ran already. */
  const begun = new Map<string, Begun>()

  const work = () => void queue.run(drain)

  /** One after another; what waits for a key keeps nothing else waiting: anybody on the way of ZeroMQ can send what no key ever fits. */
  async function drain(): Promise<void> {
    dropOld()
    for (const received of waiting.all()) {
      if (closed) return
      const result = await judge(received)
      if (result === 'no room') return
      if (result === 'no key') waiting.setKeyless(received, clock.now())
      else waiting.drop(received)
    }
    tellKeyless(waiting.keyless().length)
  }

  function dropOld(): void {
    const over = waiting.dropKeyless(clock.now())
    for (const { msg } of over) outcomes.set(digestOf(msg), 'failed', 'no key has matched it for a day')
    if (over.length > 0) logger.warn('revocations that no key has matched for a day are dropped', { dropped: over.length })
  }

  /** Once, until none waits any more: anybody on the way of ZeroMQ can send them. */
  function tellKeyless(count: number): void {
    if (count > 0 && !isKeylessTold)
      logger.warn('revocations wait, for a day at most, until a payload or the verifier brings the key of their sender', { waiting: count })
    isKeylessTold = count > 0
  }

  async function judge(received: ReceivedRevocation): Promise<'done' | 'no key' | 'no room'> {
    const digest = digestOf(received.msg)
    try {
      const verified = verifyNotice(options.notifiers.keys(), received)
      if (!verified) return 'no key'
      const isCopy = handled.has(digest) && outcomes.get(digest)?.outcome === 'failed'
      const reason = await handle(verified)
      if (!isCopy) outcomes.set(digest, reason === null ? 'acted' : 'failed', reason)
    } catch (error) {
      const waits = isNoRoom(error) && mayWait(digest)
      const reason = causeChain(error).join(': ')
      logger.warn(`a revocation ${waits ? 'waits' : 'was not acted upon'}: ${reason}`)
      if (waits) return 'no room'
      if (isNoRoom(error) || !handled.has(digest)) outcomes.set(digest, isNoRoom(error) ? 'failed' : 'refused', reason) // a forged copy changes nothing
    }
    begun.delete(digest)
    return 'done'
  }

  /** Sets the next try. False when the message has waited long enough: it must not keep the others from being acted upon for ever. */
  function mayWait(digest: string): boolean {
    const { everyMs, forMs } = options.retry ?? RETRY
    const its = begun.get(digest)
    if (!its) return false
    its.since ??= performance.now()
    if (performance.now() - its.since > forMs) return false
    clearTimeout(retry)
    if (!closed) retry = setTimeout(work, everyMs)
    return true
  }

  /** Where a signed notice finds no room, the oldest of those that no key fits makes some: who can sign nothing must not fill the queue. */
  function accept(received: ReceivedRevocation): Acceptance {
    const isFitting = fits(options.notifiers.keys(), received)
    const add = () => waiting.add(received, isFitting === null ? clock.now() : null)
    let acceptance = add()
    for (const keyless of isFitting ? waiting.keyless() : []) {
      if (acceptance !== 'full' || waiting.hasRoomFor(received)) break // there is room: the disk does not take it
      waiting.drop(keyless)
      outcomes.set(digestOf(keyless.msg), 'failed', 'the queue was full, and no key matched it')
      acceptance = add()
    }
    return acceptance
  }

  /** @returns why not all of its actions could be done; null when all were. */
  async function handle(revocation: VerifiedRevocation): Promise<string | null> {
    const { message, digest } = revocation
    if (handled.has(digest)) {
      logger.info('a revocation that was handled before is ignored', { agent: message.agent_id })
      return null
    }
    if (message.type !== 'revocation') {
      logger.info(`a signed notice of type ${message.type} needs no action`, { agent: message.agent_id })
      await handled.add(digest)
      return null
    }
    const age = leastAge(message, clock.now())
    if (options.maxAgeSeconds > 0 && age !== null && age > options.maxAgeSeconds * 1000) {
      logger.warn(`a revocation of agent ${message.agent_id} is too old to be acted upon: it is of ${message.event_time}`, {
        hint: 'it was kept and sent again, or the clock of this machine is wrong: see revocation_max_age in agent.conf',
      })
      throw new KeylimeError('refused', `it is of ${message.event_time}, older than revocation_max_age`)
    }
    const { actions, missing } = chooseActions()
    logger.warn(`agent ${message.agent_id} was revoked: ${message.event_id ?? 'no reason given'}`, { actions: actions.map((a) => a.name) })
    for (const name of missing) logger.error(`revocation action ${name} is listed, but there is no such file`)
    const its = begun.get(digest) ?? { since: null, ran: new Set<string>() }
    begun.set(digest, its)
    const failed = [...missing, ...(await runAll(actions, eventOf(revocation), its.ran))]
    await handled.add(digest)
    return failed.length > 0 ? `actions that failed: ${failed.join(', ')}` : null
  }

  const chooseActions = () =>
    findActions(
      {
        configured: options.configuredActions,
        directory: options.actionsDirectory,
        payload: options.allowPayloadActions ? options.unzipped : null,
      },
      logger,
    )

  /** @param ran actions of an earlier try, which are left out, and those of this one. @returns those that failed. */
  async function runAll(actions: Action[], event: Record<string, unknown>, ran: Set<string>): Promise<string[]> {
    const failed: string[] = []
    for (const action of actions.filter(({ name }) => !ran.has(name))) {
      const complaint = await runAction(action, event, options.surroundings).catch((error) => {
        if (isNoRoom(error)) throw error
        return causeChain(error).join(': ')
      })
      ran.add(action.name)
      if (!complaint) logger.info(`revocation action ${action.name} is done`)
      else logger.error(`revocation action ${action.name} failed: ${complaint}`)
      if (complaint) failed.push(action.name)
      if (complaint && !options.goOnAfterFailure) break
    }
    return failed
  }

  clearRooms(options.surroundings.roomParents)
  if (waiting.length > 0) work()
  const looking = setInterval(work, LOOK_MS).unref()
  return {
    accept(received) {
      const acceptance = closed ? 'full' : accept(received)
      if (acceptance !== 'taken') return acceptance
      const digest = digestOf(received.msg)
      if (outcomes.get(digest)?.outcome === 'refused') outcomes.set(digest, 'waiting') // the key that it lacked may have come
      work()
      return acceptance
    },
    outcomeOf(digest) {
      const known = outcomes.get(digest)
      if (known) return known
      if (handled.has(digest)) return { outcome: 'acted', reason: null } // in an earlier run
      return { outcome: waiting.has((msg) => digestOf(msg) === digest) ? 'waiting' : 'unknown', reason: null }
    },
    async introduce(certificate) {
      if (await options.notifiers.introduce(certificate)) work()
    },
    payloadUnpacked: work,
    async close() {
      closed = true
      clearTimeout(retry)
      clearInterval(looking)
      await queue.idle()
    },
  }
}

/** Whether a signature holds; null when the key that might fit has not come. */
function fits(keys: NotifierKeys, received: ReceivedRevocation): boolean | null {
  try {
    return verifyNotice(keys, received) === null ? null : true
  } catch {
    return false
  }
}

const isNoRoom = (error: unknown): boolean => isKeylimeError(error) && error.code === 'file_failed'

/** The parsed message, and what Python-era actions look for: `meta_data` once more, parsed, as `metadata`. */
export function eventOf({ message }: VerifiedRevocation): Record<string, unknown> {
  let metadata: unknown = {}
  try {
    metadata = parseMetaData(message.meta_data)
  } catch {} // stays as the text it is in meta_data
  return { ...message, metadata }
}

const digestOf = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex')
