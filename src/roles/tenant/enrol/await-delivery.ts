import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentStatus } from '../../../core/api/agent-status.ts'
import type { DeliveryReport } from '../../../core/api/push/delivery.ts'
import { type ErrorCode, isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { challengeHmac, sameTag } from '../../../core/payload/auth-tag.ts'
import type { DeliveryOrder } from '../../../core/payload/delivery-order.ts'
import { poll } from '../../../io/poll.ts'
import { interruptible } from '../../../io/terminal/interruptible.ts'
import { relativeTime } from '../../../io/terminal/terminal.ts'
import { progressOf } from '../delivery/delivery-progress.ts'
import type { TenantContext } from '../tenant-context.ts'
import { isAtIt, stillAtIt, tellDelivery } from './follow-delivery.ts'
import { isGood, throwWhenFailed } from './wait-for-verdict.ts'

const PASSING: readonly ErrorCode[] = ['unreachable', 'timeout', 'unavailable']
const PAUSES = { firstPauseMs: 25, longestPauseMs: 500 }

/** What is waited for. */
export interface Awaited {
  readonly agentId: string
  readonly order: DeliveryOrder
  readonly k: Buffer
  /** The enrolment before; an update begins to count anew. */
  readonly known: AgentStatus | undefined
}

/** How the waiting ended. `released`: the verifier has carried both shares to a machine that it asks, and this one says for itself what became of them. */
export type AwaitedEnd =
  | { readonly end: 'reported' | 'released'; readonly status: AgentStatus }
  | { readonly end: 'interrupted'; readonly status: undefined }

type Used = Pick<TenantContext, 'verifier' | 'clock' | 'options' | 'report'>

/**
 * Waits for a machine that comes for its payload, or is asked by the verifier alone: until it is attested, has proved that it derived K, and said what became of the payload. Ctrl-C ends
 * the waiting, and nothing else. @throws KeylimeError `attestation_failed`, `refused` by the machine, `conflict` when another delivery took the place of this one, `timeout`, and what
 * `tellDelivery` throws.
 */
export async function awaitDelivery(used: Used, awaited: Awaited): Promise<AwaitedEnd> {
  const watch = new DeliveryWatch(used, awaited)
  const { clock, options } = used
  return interruptible(async (interrupted): Promise<AwaitedEnd> => {
    const pause = (milliseconds: number) => sleep(milliseconds, undefined, { signal: interrupted }).catch(() => undefined)
    const ended = await poll({ clock, timeoutSeconds: options.timeoutSeconds, ...PAUSES, pause }, async () =>
      interrupted.aborted ? ({ end: 'interrupted', status: undefined } as const) : watch.look(),
    )
    if (ended === undefined) throw watch.timedOut()
    if (ended.end === 'reported') await watch.conclude(ended.status)
    return ended
  })
}

/** One machine, looked at again and again. */
class DeliveryWatch {
  readonly #used: Used
  readonly #awaited: Awaited
  readonly #expected: string
  #last: AgentStatus | undefined
  /** Why the verifier could not be asked the last time. */
  #away: KeylimeError | undefined
  #isAttested = false
  /** An agent that was started anew since has K no more, and says without a proof how its script ended. */
  #isProved = false

  constructor(used: Used, awaited: Awaited) {
    this.#used = used
    this.#awaited = awaited
    this.#expected = challengeHmac(awaited.k, awaited.order.challenge)
  }

  /** A verifier that is started anew meanwhile is waited for as well. */
  async look(): Promise<AwaitedEnd | undefined> {
    try {
      const end = await this.#look()
      this.#away = undefined
      return end
    } catch (error) {
      if (!isKeylimeError(error) || !PASSING.includes(error.code)) throw error
      this.#away = error
      return undefined
    }
  }

  async #look(): Promise<AwaitedEnd | undefined> {
    const { verifier, options, report } = this.#used
    const { agentId } = this.#awaited
    const status = await verifier.agent(agentId)
    if (!status) throw new KeylimeError('agent_not_found', `agent ${agentId} was deleted from the verifier while waiting`)
    this.#last = status
    if (!isSilent(status)) throwWhenFailed(agentId, status)
    const told = this.#reportIn(status)
    if (told?.state === 'refused') throw refusedThere(agentId, told)
    if (!this.#isAttested && isGood(status, 0)) {
      this.#isAttested = true
      report({ type: 'attested', agentId, status, released: false })
    }
    if (told) this.#isProved ||= told.proof !== null && sameTag(told.proof, this.#expected)
    const progress = told && told.state !== 'waiting' ? progressOf(told) : undefined
    if (progress && !isAtIt(progress, options)) return { end: 'reported', status }
    if (!progress && status.comes_by !== 'push' && status.v_released) return { end: 'released', status }
    this.#tellWhatIsWaitedFor(progress !== undefined)
    return undefined
  }

  /** @throws KeylimeError `attestation_failed` for a machine that did not derive K; the verifier is then told to stop when `--verify` says so. */
  async conclude(status: AgentStatus): Promise<void> {
    const { verifier, options, report } = this.#used
    const { agentId } = this.#awaited
    const told = this.#reportIn(status) as DeliveryReport
    if (!this.#isProved) {
      if (options.verify) await verifier.stop(agentId)
      if (told.state === 'failed' && told.proof === null) throw notDerived(agentId, told)
      throw new KeylimeError(
        'attestation_failed',
        `agent ${agentId} says that it has the payload, and cannot prove that it derived the key`,
        {
          hint: 'look at this machine and at its log before you trust it',
        },
      )
    }
    report({ type: 'key_proved', agentId })
    tellDelivery(this.#used, agentId, progressOf(told))
  }

  timedOut(): KeylimeError {
    if (this.#away) return this.#away
    const { options, clock } = this.#used
    const { agentId } = this.#awaited
    const told = this.#last && this.#reportIn(this.#last)
    if (told && told.state !== 'waiting') return stillAtIt(agentId, options.timeoutSeconds)
    const seen = this.#lastSeen()
    const when = seen === null ? 'never seen' : `last seen ${relativeTime(seen * 1000, clock.now())}`
    return new KeylimeError('timeout', `agent ${agentId} has not come for its payload within ${options.timeoutSeconds} s (${when})`, {
      hint: `the machine stays enrolled, and gets the payload when it comes: \`keylime tenant status -u ${agentId}\` shows it. Wait longer with --timeout, or not at all with --no-wait`,
    })
  }

  #tellWhatIsWaitedFor(isUnpacking: boolean): void {
    const { report } = this.#used
    const { agentId } = this.#awaited
    if (isUnpacking) report({ type: 'working', text: 'waiting for what the machine does with the payload' })
    else report({ type: 'waiting', agentId, lastSeen: this.#lastSeen() })
  }

  #lastSeen(): number | null {
    const { known } = this.#awaited
    return Math.max(...[this.#last, known].map(lastSeen)) || null
  }

  /** @throws KeylimeError `conflict` when it is of another delivery. */
  #reportIn({ delivery }: AgentStatus): DeliveryReport | undefined {
    const { agentId, order } = this.#awaited
    if (delivery?.enrolment !== order.enrolment)
      throw new KeylimeError('conflict', `another update of agent ${agentId} has replaced this delivery`, {
        hint: `\`keylime tenant status -u ${agentId}\` shows what it gets now`,
      })
    const { report } = delivery
    return report?.enrolment === order.enrolment && report.generation === order.generation ? report : undefined
  }
}

/** Seconds since the epoch; 0 for never. */
const lastSeen = (status: AgentStatus | undefined): number =>
  Math.max(status?.last_received_quote ?? 0, status?.last_successful_attestation ?? 0)

/** It is off, or on its way: it has failed nothing. */
const isSilent = (status: AgentStatus): boolean => status.last_event_id?.startsWith('internal.verifier.not_reachable') === true

const notDerived = (agentId: string, { error }: DeliveryReport) =>
  new KeylimeError('decryption_failed', `agent ${agentId} could not derive the key: ${error ?? 'see its log'}`, {
    hint: `\`keylime tenant update -u ${agentId}\` with the payload makes another key and delivers again`,
  })

const refusedThere = (agentId: string, { error }: DeliveryReport) =>
  new KeylimeError('refused', `agent ${agentId} refuses the payload: ${error ?? 'see its log'}`, {
    hint: 'the verifier keeps back its key. A machine accepts only orders of operators of its trusted_client_ca (agent.conf), and none that is older than its newest. Fix that, restart its agent, then deliver again with `keylime tenant update`',
  })
