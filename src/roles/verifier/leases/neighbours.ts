import type { Clock } from '../../../io/clock.ts'
import { LEASE_MS, type Living } from '../../../io/db/lease-store.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** Says which of the other verifiers is missed, and that another one has the name of this one. */
export interface Neighbours {
  /** @param asked when they were looked for: milliseconds of the monotonic clock. */
  heed(found: Living, asked: number): void
}

/** @param name of this verifier. */
export function createNeighbours(name: string, { clock, logger }: { clock: Pick<Clock, 'monotonic'>; logger: Logger }): Neighbours {
  /** Runs that have our name, and since when they are known. One that was killed before this one started lives no longer than a lease. */
  const namesakes = new Map<string, number>()
  const told = new Set<string>()

  function tellMissed({ others, missed }: Living): void {
    for (const { run, name: who, silentMs } of missed) {
      const isRestarted = who === name ? !told.has(run) : others.some((other) => other.name === who)
      if (!isRestarted) logger.warn(`${who} has not been heard of for ${Math.floor(silentMs / 1000)} s; its machines are taken over`)
    }
  }

  function tellNamesake(run: string, asked: number): void {
    const since = namesakes.get(run)
    if (since === undefined) namesakes.set(run, clock.monotonic())
    else if (asked - since > LEASE_MS && !told.has(run)) {
      told.add(run)
      logger.warn(`another verifier that uses the database is named ${name}, too: give each a uuid of its own, and restart it`)
    }
  }

  return {
    heed(found, asked) {
      tellMissed(found)
      const same = found.others.filter((other) => other.name === name)
      for (const { run } of same) tellNamesake(run, asked)
      for (const run of namesakes.keys()) {
        if (same.some((other) => other.run === run)) continue
        namesakes.delete(run)
        told.delete(run)
      }
    },
  }
}
