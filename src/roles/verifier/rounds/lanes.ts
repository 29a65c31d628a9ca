import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import type { Clock } from '../../../io/clock.ts'
import { createScheduler } from '../../../io/scheduler.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import { createEnrolmentPace } from './enrolment-pace.ts'

/** The next round of every machine that is asked. Three queues, so that nobody waits for the places of others. */
export interface Lanes {
  /** (Re)schedules; a machine has one due time. */
  schedule(agent: ManagedAgent, afterMs: number): void
  /** The same for one that was just taken up: while many machines are enrolled and there is no time left, few of these begin (decision 143). */
  scheduleFirst(agent: ManagedAgent, afterMs: number): void
  cancel(agent: ManagedAgent): void
  /** A machine was enrolled. */
  enrolled(): void
  readonly waiting: number
  /** For how long the machine has been due that has waited longest, of those that answered the last time. */
  lateMs(): number
  stop(): void
}

export interface LaneOptions {
  clock: Clock
  /** Must not throw. @param lateMs since it was due; 0 for one that did not answer the last time. */
  run(agent: ManagedAgent, lateMs: number): Promise<void>
  /** The same for machines that did not answer the last time. */
  runSilent(agent: ManagedAgent): Promise<void>
  /** The share of the last moment in which the event loop had something to do. */
  busy(): number
}

/** Whom each machine that is found again brings forward: what kept it silent may have been the network of all. */
const HASTENED = 2

export function createLanes({ clock, run, runSilent, busy }: LaneOptions): Lanes {
  const pace = createEnrolmentPace(clock, busy)
  const steady = createScheduler<ManagedAgent>({ clock, run, busy, maxStartingFull: pace.atOnce })
  /** However many of them hang, the others do not wait for their places. */
  const silent = createScheduler<ManagedAgent>({ clock, run: askSilent, busy, maxStartingFull: pace.atOnce })
  const first = createScheduler<ManagedAgent>({ clock, run, busy, maxStartingFull: pace.atOnce, mayBegin: pace.mayBegin })
  const all = [steady, silent, first]

  /** A fleet that was cut off is found again in some doublings, and not within the longest delay between two tries (decision 156). */
  async function askSilent(agent: ManagedAgent): Promise<void> {
    const wasGone = isGone(agent)
    await runSilent(agent)
    if (wasGone && agent.retries === 0 && !isGone(agent)) silent.hasten(HASTENED, isGone)
  }

  function schedule(lane: typeof steady, agent: ManagedAgent, afterMs: number): void {
    for (const other of all) if (other !== lane) other.cancel(agent)
    lane.schedule(agent, afterMs)
  }

  return {
    schedule: (agent, afterMs) => schedule(agent.retries > 0 ? silent : steady, agent, afterMs),
    scheduleFirst: (agent, afterMs) => schedule(agent.retries > 0 ? silent : first, agent, afterMs),
    cancel(agent) {
      for (const lane of all) lane.cancel(agent)
    },
    enrolled: pace.enrolled,
    get waiting() {
      return all.reduce((sum, lane) => sum + lane.waiting, 0)
    },
    lateMs: steady.lateMs,
    stop() {
      for (const lane of all) lane.stop()
    },
  }
}

/** All its tries were made, and it was told of: to ask it sooner uses nothing up. */
const isGone = ({ state }: ManagedAgent): boolean => state.operational === OPERATIONAL_STATE.FAILED
