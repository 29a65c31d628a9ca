import { boundValue, cutText } from './bounded-text.ts'

/** Facts of one failure. `message` says it in words; the other keys are what was found and what was wanted. */
export interface FailureContext {
  message: string
  [key: string]: unknown
}

const MAX_MESSAGE = 1000
/** A path of a file has up to 4096 bytes, and must be whole: what a policy accepts is made of it. */
const MAX_TEXT = 4096
const MAX_MEMBERS = 100
const MAX_DEPTH = 6
/** A path stands in a context twice, beside what was found and expected. */
const MAX_CONTEXT = 16_384

/**
 * Facts as they may be stored, sent and printed, however long a machine makes them. The first are kept before the later ones. `accept`, a change of a
 * policy, is there whole or not at all: half a path would accept another file.
 */
export function boundContext(given: FailureContext): FailureContext {
  const context: FailureContext = { message: cutText(given.message, MAX_MESSAGE) }
  let left = MAX_CONTEXT - context.message.length
  for (const [name, fact] of Object.entries(given).slice(0, MAX_MEMBERS)) {
    if (name === 'message' || fact === undefined) continue
    const { value, isWhole, size } = boundValue(fact, {
      maxText: MAX_TEXT,
      maxMembers: MAX_MEMBERS,
      maxDepth: MAX_DEPTH - 1,
      maxTotal: left,
    })
    if (name === 'accept' && !isWhole) continue
    context[name] = value
    left = Math.max(0, left - size - name.length)
  }
  return context
}
