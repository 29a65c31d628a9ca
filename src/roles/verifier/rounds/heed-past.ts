import type { MarkKeeper } from '../../../io/db/database-mark.ts'
import type { UntoldEvents } from '../../../io/db/untold-events.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { Events } from '../audit/start-events.ts'

export interface PastOptions {
  mark: MarkKeeper
  store: Pick<VerifierStore, 'withholdAll'>
  untold: UntoldEvents
  events: Pick<Events, 'stream' | 'flush'>
  logger: Logger
}

const ASK = 'what was changed since is in the audit log (`keylime verifier audit show`): do it again'
const DELIVER = 'machines whose key is withheld get a new one with `keylime tenant update` and their payload'

/** What became of the database while no verifier ran. To be called before the first machine is asked. */
export async function heedPast(options: PastOptions): Promise<void> {
  await heedAge(options)
  await tellUntold(options)
}

/**
 * An older database, put back, does not know what was done since. It is told, and every V that it still holds is withheld for ever: it may have been released
 * since, perhaps to a machine that is distrusted now.
 */
async function heedAge({ mark, store, events: { stream: events }, logger }: PastOptions): Promise<void> {
  const { age, inside, beside } = mark
  if (age === 'current') return mark.record()
  const withheld = await store.withholdAll()
  await mark.settle()
  const missing = age === 'older' && beside ? beside.changes - inside.changes : 0
  events.raise({
    type: 'database_put_back',
    found: age,
    missing,
    last_change: timeOf(inside.at),
    expected_change: timeOf(beside?.at ?? 0),
    withheld: withheld.length,
  })
  for (const agentId of withheld) events.raise({ type: 'v_withheld', agent_id: agentId })
  logger.warn(hintOf(withheld.length))
}

/** What was done to the database while no verifier ran is told once; again by the next start, where this one dies meanwhile. */
async function tellUntold({ untold, events, logger }: PastOptions): Promise<void> {
  const told = await untold.all()
  if (told.length === 0) return
  for (const event of told) events.stream.raise(event)
  for (const event of told) if (event.type === 'database_restored') logger.warn(hintOf(event.withheld))
  await events.flush()
  await untold.forget()
}

const hintOf = (withheld: number) => `hint: ${[ASK, ...(withheld > 0 ? [DELIVER] : [])].join('; ')}`

/** ISO 8601; empty for none. */
const timeOf = (seconds: number) => (seconds === 0 ? '' : new Date(seconds * 1000).toISOString())
