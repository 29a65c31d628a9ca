import { recordMark } from '../../io/db/record-mark.ts'
import type { RegistrarDatabase } from '../../io/db/registrar-database.ts'
import type { Route } from '../../io/http/route.ts'
import type { Logger } from '../../io/log/logger.ts'

/** As the verifier's. */
const MARK_MS = 10_000

const MEANING = {
  older:
    'the registrar’s database is older than the one that was here before: nobody knows what operators have revoked, deleted or forgotten since',
  other: 'the registrar’s database is not the one that was here before: it may not know what operators have revoked',
  unknown: 'the registrar’s database has no mark beside it, so it may be an older one, and may not know what operators have revoked',
} as const

export interface DatabaseMarking {
  /** The same routes; what an operator changed is in the mark before he is answered. */
  marked(routes: readonly Route[]): Route[]
  stop(): Promise<void>
}

/**
 * Tells of a database that was put back, which gives revoked machines the way free again, and keeps the mark beside it (decision 100). To be called before
 * anybody is served. Where the mark cannot be written that is logged, and machines register all the same.
 */
export async function heedAge({ mark, ensure }: Pick<RegistrarDatabase, 'mark' | 'ensure'>, logger: Logger): Promise<DatabaseMarking> {
  const { age, inside, beside } = mark
  const record = recordMark(mark, logger)
  if (age === 'current') await record()
  else {
    logger.error(MEANING[age], {
      ...(age === 'older' && beside ? { missing: beside.changes - inside.changes } : {}),
      hint: 'see `keylime tenant list`, and give `keylime tenant revoke` and `regdelete` again for machines from that time',
    })
    await recordMark({ record: () => mark.settle() }, logger)()
  }
  const marking = setInterval(() => void Promise.all([record(), ensure()]), MARK_MS).unref()
  return {
    marked: (routes) => routes.map((route) => (changes(route) ? { ...route, handle: recorded(route.handle, record) } : route)),
    async stop() {
      clearInterval(marking)
      await record()
    },
  }
}

/** Registrations are recorded a moment later: one that is lost is made again by its machine. */
const changes = ({ access, method }: Route): boolean => access === 'admin' && method !== 'GET'

const recorded =
  (handle: Route['handle'], record: () => Promise<void>): Route['handle'] =>
  async (request) => {
    const reply = await handle(request)
    await record()
    return reply
  }
