import type { Failure } from '../verdict/failure.ts'
import { judgeEntry } from './decide-entry.ts'
import { readEntry } from './entry.ts'
import { nothingLearned } from './learned-from-log.ts'
import { addPolicy, emptyParts, sorted } from './policy-document.ts'
import type { RuntimePolicy } from './runtime-policy.ts'

export interface LogComparison {
  /** One for each name and digest that would fail, or line that cannot be judged. */
  failures: Failure[]
  /** The smallest part of a policy that accepts all that can be accepted: what `merge` takes. Null when there is nothing to accept. */
  accept: Record<string, unknown> | null
  /** Failures that no policy heals: the log itself is bad. */
  hopeless: number
}

/** What of a log a policy would refuse, line by line, without a quote: it says what a policy lacks, not whether the log is true. */
export function compareLog(policy: RuntimePolicy, log: string): LogComparison {
  const judging = { policy, bootAggregates: [], failOnViolation: false, learned: nothingLearned() }
  const failures = new Map<string, Failure>()
  const parts = emptyParts()
  let number = 0
  let hopeless = 0
  for (const line of log.split('\n')) {
    if (line === '') continue
    number++
    const entry = readEntry(line)
    const failed =
      typeof entry === 'string'
        ? {
            eventId: 'ima.parser.entry',
            context: { message: `line ${number} of the IMA log cannot be read: ${entry}`, line: number },
            recoverable: true,
          }
        : judgeEntry(entry, number, judging)
    if (!failed) continue
    const accept = failed.context['accept'] as Record<string, unknown> | undefined
    if (accept) addPolicy(parts, accept, `line ${number}`)
    else hopeless++
    const key = accept ? JSON.stringify(accept) : `line ${number}`
    if (!failures.has(key)) failures.set(key, failed)
  }
  const members = { digests: sorted(parts.digests), keyrings: sorted(parts.keyrings), 'ima-buf': sorted(parts.buffers) }
  const accept = Object.fromEntries(Object.entries(members).filter(([, names]) => Object.keys(names).length > 0))
  return { failures: [...failures.values()], accept: Object.keys(accept).length > 0 ? accept : null, hopeless }
}
