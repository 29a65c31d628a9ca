import { pushCosts, withPushFleet } from '../push.ts'
import { type Given, intervalOf } from './given.ts'
import type { Part, Row } from './run.ts'

/** Machines that bring their evidence, at the same rate (`npm run bench push` has more of them). */
export const PUSH_PARTS: Record<string, Part> = {
  push: async (given) => ['machines that bring their evidence', await ofEach(given)],
}

async function ofEach(given: Given): Promise<Row[]> {
  const rows: Row[] = []
  for (const count of given.sizes) {
    const intervalSeconds = Math.max(1, Math.round(intervalOf(given, count))) // whole seconds, in this API
    const options = { intervalSeconds, executable: given.executable, fromSources: false, profile: null }
    const found = await withPushFleet(count, options, pushCosts)
    rows.push(...found.map((row) => ({ machines: count, 'interval s': intervalSeconds, ...row })))
  }
  return rows
}
