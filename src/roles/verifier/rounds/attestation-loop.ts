import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentEffect, AgentEvent, AgentTiming } from '../../../core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { type NowOrLater, whenThere } from '../../../core/concurrency/now-or-later.ts'
import { causeChain } from '../../../core/errors.ts'
import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { Clock } from '../../../io/clock.ts'
import { isLeaseLost } from '../../../io/db/lease-store.ts'
import { isPassing } from '../../../io/db/postgres-errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { createLoopShare } from '../../../io/loop-share.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { CarryV } from '../release/carry-v.ts'
import type { ApplyVerdict } from '../verdicts/apply-verdict.ts'
import type { StateKeeper } from '../verdicts/state-keeper.ts'
import type { AttestationRound, RoundResult } from './attestation-round.ts'
import { createLanes } from './lanes.ts'
import { OwnTrouble } from './own-trouble.ts'
import { NO_METER, type RoundMeter } from './round-meter.ts'
import { alongOf, isStale, outcomeOf, ownTrouble, type Running, reasonOf, speaksAgainst } from './running-round.ts'

export interface LoopOptions {
  /** Asks one agent and judges its answer. */
  round: AttestationRound
  applyVerdict: ApplyVerdict
  keeper: StateKeeper
  carryV: CarryV
  /** What is done where a round brought no quote, before anything follows from it; never throws for what an agent does. */
  seeTo(agent: ManagedAgent, result: RoundResult): Promise<RoundResult>
  /** Makes the verifier known to a machine that answers; never throws, and says nothing of the machine. */
  introduce(agent: ManagedAgent): Promise<void>
  /** Resolves when what was raised so far is in the audit log, or cannot be written there now. @throws when an older database could not be told from this one, or another verifier may attest the agent. */
  recorded(agent: ManagedAgent): Promise<void>
  /** Another verifier attests an agent by now. */
  lost(): void
  /** Default: nobody counts. */
  meter?: RoundMeter
  busy?: () => number // see `LaneOptions`
  clock: Clock
  logger: Logger
  timing: AgentTiming
}

/**
 * Drives: asks every agent again and again, waits, tries again. It judges nothing and changes no state itself. Machines that bring their evidence are never asked, and are driven
 * by what comes (`take`).
 */
export interface AttestationLoop {
  load(): LoopLoad
  /** Takes up an agent. @param afterMs spreads the first requests of many. */
  begin(agent: ManagedAgent, afterMs: number): void
  /** The same for one that was just enrolled: while many are, their enrolments have precedence over first rounds, within bounds. */
  beginNew(agent: ManagedAgent): void
  /** Asks an agent at once that is waiting for its time. */
  hurry(agent: ManagedAgent): void
  /** A command of the operator; durable when it returns. */
  command(agent: ManagedAgent, event: Extract<AgentEvent, { type: 'stopped' | 'reactivated' }>, command: VerifierEvent): Promise<void>
  /** Lets go of an agent that is to be deleted or replaced. When it returns, nothing of it is being stored any more. */
  pause(agent: ManagedAgent): Promise<void>
  /** Takes a paused agent up again: it could not be deleted or replaced. */
  resume(agent: ManagedAgent): void
  /** The same for a round that did not begin by asking: of a machine that brings its evidence. @returns false, and nothing was done, while another is under way. */
  take(agent: ManagedAgent, round: AttestationRound): NowOrLater<boolean>
  /** Asks nobody any more. When it returns, each V that has left is confirmed, or its agent did not answer for some seconds. */
  stop(): Promise<void>
}

/** How busy the loop is now. */
export interface LoopLoad {
  /** Rounds that are under way. */
  inFlight: number
  /** Machines that wait for their time. */
  waiting: number
  /** For how long the machine has been due that has waited longest, of those that answered the last time. */
  lateMs: number
}

const DRAIN_MS = 5000
const UNSTORED_SECONDS = 2
const MIN_LATER_SECONDS = 1

export function createAttestationLoop(options: LoopOptions): AttestationLoop {
  const { keeper, applyVerdict, clock, logger, timing, meter = NO_METER, busy = createLoopShare() } = options
  const lanes = createLanes({
    ...{ clock, busy },
    async run(agent, lateMs) {
      meter.began(lateMs)
      await runRound(agent, options.round, lateMs)
    },
    runSilent: async (agent) => runRound(agent, options.round),
  })
  const releases = new Set<Promise<void>>()
  let stopping = false
  let inFlight = 0

  /** One round. What goes wrong while evidence is judged is a failed round: fail closed (invariant 4). Nothing of it waits where nothing has to. */
  function runRound(agent: ManagedAgent, round: AttestationRound, lateMs = 0): NowOrLater<void> {
    if (agent.removed || agent.busy || stopping) return
    const running: Running = { agent, epoch: agent.epoch, lateMs, outcome: 'error', isAgainst: true }
    agent.busy = true
    inFlight++
    let rest: NowOrLater<void>
    try {
      rest = goThrough(running, round)
      if (rest instanceof Promise) rest = rest.catch((error) => wentWrong(running, error))
    } catch (error) {
      rest = wentWrong(running, error)
    }
    return rest instanceof Promise ? rest.finally(() => ended(running)) : ended(running)
  }

  function goThrough(running: Running, round: AttestationRound): NowOrLater<void> {
    const { agent } = running
    const began = clock.monotonic()
    return whenThere(round(agent), (asked) => {
      running.isAgainst = speaksAgainst(asked)
      if (agent.connection === null && 'round' in asked) meter.stage('judge', clock.monotonic() - began)
      if (!('event' in asked) || !agent.connection) return follow(running, asked)
      return options.seeTo(agent, asked).then((result) => follow(running, result))
    })
  }

  function follow(running: Running, result: RoundResult): NowOrLater<void> {
    const { agent } = running
    running.outcome = isStale(running) ? null : outcomeOf(result)
    if (running.outcome === null) return
    if (result.supportedVersion) agent.state = { ...agent.state, supportedVersion: result.supportedVersion }
    if ('later' in result) return postpone(agent, result.later)
    if ('round' in result && agent.connection) void options.introduce(agent) // says nothing to who knows all of it
    const judged = clock.monotonic()
    return whenThere('round' in result ? applyVerdict(agent, result.round) : keeper.apply(agent, result.event), (effects) => {
      meter.stage('apply', clock.monotonic() - judged)
      return perform(agent, effects)
    })
  }

  async function wentWrong(running: Running, error: unknown): Promise<void> {
    const { agent } = running
    running.outcome = isLeaseLost(error) || isStale(running) ? null : isPassing(error) ? 'postponed' : 'error'
    if (isLeaseLost(error)) return options.lost()
    if (isPassing(error)) return isStale(running) ? undefined : postpone(agent, causeChain(error).join(': '))
    const cause = error instanceof OwnTrouble ? error.cause : error
    const isOurs = error instanceof OwnTrouble || !running.isAgainst
    const level = isOurs && agent.retries > 0 ? 'debug' : 'error' // it is tried again and again
    logger[level](`agent ${agent.enrolment.agentId}: the round failed`, { stack: cause instanceof Error ? cause.stack : String(cause) })
    if (!isStale(running)) await settle(agent, isOurs ? ownTrouble(cause) : { type: 'exception', reason: reasonOf(cause) }, reasonOf(cause))
  }

  function ended({ agent, lateMs, outcome }: Running): void {
    if (outcome !== null) meter.ended(outcome, agent.connection === null)
    inFlight--
    agent.busy = false
    const due = agent.dueMs
    agent.dueMs = null
    if (due !== null) schedule(agent, spread(agent, due, lateMs) / 1000, agent.partial)
  }

  /** One after the other. */
  function perform(agent: ManagedAgent, effects: readonly AgentEffect[]): NowOrLater<void> {
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!
      if (effect.do === 'ask_quote') schedule(agent, effect.afterSeconds, effect.partial)
      else if (effect.do === 'deliver_v') return tracked(release(agent)).then(() => perform(agent, effects.slice(i + 1)))
    }
  }

  /** Its state stays as it is: that others take the room says nothing of this machine. The watchdog sees one that waits too long. */
  function postpone(agent: ManagedAgent, reason: string): void {
    logger.debug(`agent ${agent.enrolment.agentId} is asked again later: ${reason}`)
    schedule(agent, Math.max(timing.quoteInterval, MIN_LATER_SECONDS), false)
  }

  function tracked(work: Promise<void>): Promise<void> {
    releases.add(work)
    return work.finally(() => releases.delete(work))
  }

  /** The release is on the disk: only now does V leave. */
  async function release(agent: ManagedAgent): Promise<void> {
    const { epoch } = agent
    const isStale = () => agent.removed || agent.epoch !== epoch
    try {
      await options.recorded(agent) // that V leaves, and to which key, is in the audit log before it does
    } catch (error) {
      logger.error(`agent ${agent.enrolment.agentId}: V waits: ${causeChain(error).join(': ')}`)
      return schedule(agent, UNSTORED_SECONDS, false)
    }
    if (isStale()) return // the operator said something else meanwhile
    const event = await options.carryV(agent)
    if (isStale() || event === null) return
    await perform(agent, await keeper.apply(agent, event, alongOf(agent, event)))
  }

  /**
   * What held up all machines makes them due in the same moment. The next time they are spread again, each between a half and one and a half intervals later. So are those that fell silent together: one of them is
   * asked soon after they can be reached again, and it brings the others forward (decision 156).
   */
  function spread({ state }: ManagedAgent, dueMs: number, lateMs: number): number {
    const intervalMs = timing.quoteInterval * 1000
    if (state.operational === OPERATIONAL_STATE.FAILED) return dueMs * (0.5 + Math.random() / 2)
    return dueMs === intervalMs && lateMs > intervalMs / 2 ? dueMs * (0.5 + Math.random()) : dueMs
  }

  function schedule(agent: ManagedAgent, afterSeconds: number, partial: boolean): void {
    agent.partial = partial
    if (!agent.connection) return // it comes by itself
    if (agent.busy)
      agent.dueMs = afterSeconds * 1000 // when this round has ended: one at a time for each agent
    else if (!agent.removed && !stopping) lanes.schedule(agent, afterSeconds * 1000)
  }

  function begin(agent: ManagedAgent, afterMs: number): void {
    agent.lastJudged = clock.monotonic()
    agent.partial = false
    // An unreachable machine was told of already: it is asked on, at the longest delay if it stays silent.
    agent.retries = agent.state.operational === OPERATIONAL_STATE.FAILED ? timing.maxRetries + 1 : 0
    if (agent.busy) schedule(agent, afterMs / 1000, false)
    else if (agent.connection && !agent.removed && !stopping) lanes.scheduleFirst(agent, afterMs)
  }

  function unschedule(agent: ManagedAgent): void {
    agent.dueMs = null
    lanes.cancel(agent)
  }

  /**
   * A bug or a disk that cannot be written: the agent is not good, and the others go on. When not even that can be stored, the agent is judged
   * again later: a machine that failed must not stay unannounced because the disk was full.
   */
  async function settle(agent: ManagedAgent, event: AgentEvent, reason: string): Promise<void> {
    try {
      await perform(agent, await keeper.apply(agent, event))
    } catch (second) {
      logger.error(`agent ${agent.enrolment.agentId}: its failure cannot be stored: ${causeChain(second).join(': ')}`)
      agent.unstored = reason
      schedule(agent, UNSTORED_SECONDS, false)
    }
  }

  return {
    load: () => ({ inFlight, waiting: lanes.waiting, lateMs: lanes.lateMs() }),
    begin,
    beginNew(agent) {
      lanes.enrolled()
      begin(agent, 0)
    },
    hurry(agent) {
      if (agent.state.polled) schedule(agent, 0, agent.partial)
    },
    async command(agent, event, command) {
      agent.epoch++
      unschedule(agent)
      await perform(
        agent,
        await keeper.apply(agent, event, {
          ...(event.type === 'reactivated' ? { changes: { failures: [], algorithms: null } } : {}),
          command,
        }),
      )
    },
    async pause(agent) {
      agent.removed = true
      agent.epoch++
      unschedule(agent)
      await agent.changes.idle()
    },
    resume(agent) {
      agent.removed = false
      if (agent.state.polled) schedule(agent, 0, false)
    },
    take(agent, round) {
      if (agent.removed || agent.busy || stopping) return false
      return whenThere(runRound(agent, round), () => true)
    },
    async stop() {
      stopping = true
      lanes.stop()
      // A V whose confirmation nobody waits for would leave once more after the restart.
      await Promise.race([Promise.allSettled(releases), sleep(DRAIN_MS, undefined, { ref: false })])
    },
  }
}
