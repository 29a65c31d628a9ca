import { z } from 'zod'

/** Entries of one answer, at most. */
export const MAX_HISTORY_PAGE = 1000

const entry = z.looseObject({
  /** Rises; where the next page begins. */
  id: z.number().int(),
  /** ISO 8601. */
  time: z.string().max(64),
  agent_id: z.string().max(255),
  /** How the machine stood after it. */
  state: z.string().max(64),
  /** The event as it is in the audit log. */
  event: z.looseObject({ type: z.string().max(64) }),
})

/** `results` of `GET /v2.x/history`, our own: oldest first. `next`: what `after` gets for the entries that follow; null when there are none. */
export const historyPage = z.object({ entries: z.array(entry).max(MAX_HISTORY_PAGE), next: z.number().int().nullable() })
export type HistoryPage = z.infer<typeof historyPage>
export type HistoryEntry = HistoryPage['entries'][number]
