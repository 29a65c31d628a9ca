import { createHash } from 'node:crypto'
import path from 'node:path'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain, isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { leastAge, parseMetaData } from '../../../core/revocation/message.ts'
import { type VerifiedRevocation, verifyNotice } from '../../../core/revocation/signature.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { clearRooms } from './action-room.ts'
import { type Action, findActions } from './find-action.ts'
import { HandledMessages } from './handled-messages.ts'
import type { KnownNotifiers } from './known-notifiers.ts'
import { NoticeOutcomes } from './notice-outcomes.ts'
import type { RevocationInbox } from './revocation-inbox.ts'
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

const RETRY = { everyMs: 10_000, forMs: 3_600_000 }

/**
 * Verifies notifications with the certificate of the unpacked package, or of the verifier itself, and runs the actions, one message after another. What comes before there is
 * a certificate waits for it, and so does, for an hour, what cannot be acted upon because the disk is full. A message is acted upon once, also over restarts.
 */
export function createRevocationWorker(options: RevocationWorkerOptions): RevocationInbox {
  const { logger } = options
  const handled = new HandledMessages(path.join(options.surroundings.keylimeDir, 'handled-revocations'))
  const waiting = new WaitingMessages(path.join(options.surroundings.keylimeDir, 'waiting-revocations.json'))
  const outcomes = new NoticeOutcomes()
  const queue = createSerialQueue()
  let closed = false
  let retry: NodeJS.Timeout | undefined
  /** Of the first message: since when it waits for room, and which of its actions ran already. */
  let begun: { digest: string; since: number | null; ran: Set<string> } | null = null

  const work = () => void queue.run(drain)

  async function drain(): Promise<void> {
    for (let received = waiting.first(); received && !closed; received = waiting.first()) {
      const digest = digestOf(received.msg)
      try {
        const verified = verifyNotice(options.notifiers.keys(), received)
        if (!verified) {
          logger.info('a revocation waits until a payload brings the certificate of its sender', { waiting: waiting.length })
          return
        }
        const reason = await handle(verified)
        outcomes.set(digest, reason === null ? 'acted' : 'failed', reason)
      } catch (error) {
        const waits = isNoRoom(error) && mayWait()
        const reason = causeChain(error).join(': ')
        logger.warn(`a revocation ${waits ? 'waits' : 'was not acted upon'}: ${reason}`)
        if (waits) return
        outcomes.set(digest, isNoRoom(error) ? 'failed' : 'refused', reason)
      }
      begun = null
      waiting.dropFirst()
    }
  }

  /** Sets the next try. False when the first message has waited long enough: it must not keep the others from being acted upon for ever. */
  function mayWait(): boolean {
    const { everyMs, forMs } = options.retry ?? RETRY
    if (!begun) return false
    begun.since ??= performance.now()
    if (performance.now() - begun.since > forMs) return false
    clearTimeout(retry)
    if (!closed) retry = setTimeout(work, everyMs)
    return true
  }

  /** @returns why not all of its actions could be done; null when all were. */
  async function handle(revocation: VerifiedRevocation): Promise<string | null> {
    const { message, digest } = revocation
    if (handled.has(digest)) {
      logger.info('a revocation that was handled before is left', { agent: message.agent_id })
      return null
    }
    if (message.type !== 'revocation') {
      logger.info(`a signed notice of type ${message.type} needs no action`, { agent: message.agent_id })
      await handled.add(digest)
      return null
    }
    const age = leastAge(message, options.clock.now())
    if (options.maxAgeSeconds > 0 && age !== null && age > options.maxAgeSeconds * 1000) {
      logger.warn(`a revocation of agent ${message.agent_id} is too old to be acted upon: it is of ${message.event_time}`, {
        hint: 'it was kept and sent again, or the clock of this machine is wrong: see revocation_max_age in agent.conf',
      })
      throw new KeylimeError('refused', `it is of ${message.event_time}, older than revocation_max_age`)
    }
    const { actions, missing } = chooseActions()
    logger.warn(`agent ${message.agent_id} was revoked: ${message.event_id ?? 'no reason given'}`, { actions: actions.map((a) => a.name) })
    for (const name of missing) logger.error(`revocation action ${name} is listed, but there is no such file`)
    if (begun?.digest !== digest) begun = { digest, since: null, ran: new Set() }
    const failed = [...missing, ...(await runAll(actions, eventOf(revocation), begun.ran))]
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
  return {
    accept(received) {
      const acceptance = closed ? 'full' : waiting.add(received)
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
      await queue.idle()
    },
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
