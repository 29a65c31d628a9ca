import type { Failure } from './failure.ts'

/** Characters of the contexts of one round as JSON: they are stored with the agent, and are in each answer about it. */
const MAX_ROUND = 256 << 10

/**
 * The failures of one round that are kept, in their order; how many are not, the last one says (`more`).
 * @param worst is kept in any case: it names the round.
 */
export function boundRound<T extends Failure>(failures: readonly T[], worst: T | undefined): T[] {
  let left = MAX_ROUND - (worst ? sizeOf(worst) : 0)
  const kept: T[] = []
  let dropped = 0
  for (const item of failures) {
    const size = item === worst ? 0 : sizeOf(item)
    if (size <= left) {
      left -= size
      kept.push(item)
    } else dropped += 1 + moreOf(item)
  }
  const last = kept.at(-1)
  if (dropped === 0 || !last) return kept
  return [...kept.slice(0, -1), { ...last, context: { ...last.context, more: dropped + moreOf(last) } }]
}

const sizeOf = ({ context }: Failure): number => JSON.stringify(context).length

const moreOf = ({ context: { more } }: Failure): number => (typeof more === 'number' ? more : 0)
