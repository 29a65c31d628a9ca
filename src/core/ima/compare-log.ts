import { IMA_PCR } from '../tpm/pcr-selection.ts'
import { type Failure, failure } from '../verdict/failure.ts'
import { judgeEntry } from './decide-entry.ts'
import type { ImaEntry } from './entry.ts'
import { nothingLearned } from './learned-from-log.ts'
import { LogReader, type ReadLine } from './log-reader.ts'
import { addPolicy, emptyParts, sorted } from './policy-document.ts'
import type { RuntimePolicy } from './runtime-policy.ts'

export interface LogComparison {
  /** One for each name and digest that would fail, or line that cannot be judged. */
  failures: Failure[]
  /** The smallest part of a policy that accepts all that can be accepted: what `merge` takes. Null when there is nothing to accept. */
  accept: Record<string, unknown> | null
  /** The value of `ima.log_hash_alg` with which lines would pass that do not; null when it is right. */
  logHash: string | null
  /** Settings of a policy that decide about failures without `accept`; how they must be is not for a tool to say. */
  settings: string[]
  /** Failures that no policy heals: the log itself is bad. */
  hopeless: number
}

/** What of a log a policy would refuse, line by line, without a quote: it says what a policy lacks, not whether the log is true. */
export function compareLog(policy: RuntimePolicy, log: Iterable<string>): LogComparison {
  const failures = new Map<string, Failure>()
  const parts = emptyParts()
  let logHash: string | null = null
  let hopeless = 0
  const settings = new Set<string>()
  // What a policy with the right algorithm would still lack is told as well: two rounds of `diff` are one too many.
  const judgingBy = (hash: RuntimePolicy['logHash']) => ({
    policy: { ...policy, logHash: hash },
    bootAggregates: [],
    failOnViolation: false,
    learned: learned.get(hash) ?? remember(hash),
  })
  const learned = new Map<string, ReturnType<typeof nothingLearned>>()
  const remember = (hash: string) => learned.set(hash, nothingLearned()).get(hash)!
  const note = (failed: Failure, number: number) => {
    const accept = failed.context['accept'] as Record<string, unknown> | undefined
    const setting = settingOf(failed)
    if (accept) addPolicy(parts, accept, `line ${number}`)
    else if (setting) settings.add(setting)
    else hopeless++
    const key = accept ? JSON.stringify(accept) : `line ${number} ${failed.eventId}`
    if (!failures.has(key)) failures.set(key, failed)
  }
  const reader = new LogReader(({ number, entry, defect, logHash: hash, isViolation }: ReadLine) => {
    if (!entry) return note(unreadable(number, defect!), number)
    if (entry.pcr !== String(IMA_PCR)) note(foreign(number, entry), number)
    if (number === 1 && (entry.name !== 'boot_aggregate' || isViolation)) note(beginning(entry), number)
    if (isViolation) return
    if (hash && hash !== policy.logHash && logHash !== hash) {
      logHash = hash
      failures.set(`log_hash_alg ${hash}`, judgeEntry(entry, number, judgingBy(policy.logHash))!)
    }
    const failed = judgeEntry(entry, number, judgingBy(hash ?? policy.logHash))
    if (failed) note(failed, number)
  })
  for (const line of log) reader.add(line)
  reader.end()
  const members = { digests: sorted(parts.digests), keyrings: sorted(parts.keyrings), 'ima-buf': sorted(parts.buffers) }
  const accept = Object.fromEntries(Object.entries(members).filter(([, names]) => Object.keys(names).length > 0))
  return {
    failures: [...failures.values()],
    accept: Object.keys(accept).length > 0 ? accept : null,
    logHash,
    settings: [...settings],
    hopeless,
  }
}

/** The setting by which a failure can be accepted that no digest heals. */
function settingOf({ eventId, context }: Failure): string | null {
  if (eventId.startsWith('ima.validation.dm.')) return 'ima.dm_policy'
  return context['algorithm'] === undefined ? null : 'excludes' // of a buffer whose digest is not that of its content
}

const foreign = (line: number, { pcr, name: path }: ImaEntry): Failure =>
  failure('ima', 'validation.ima_pcr', {
    message: `line ${line} is for PCR ${JSON.stringify(pcr.slice(0, 20))}, not ${IMA_PCR}`,
    line,
    path,
  })

const beginning = ({ name: path }: ImaEntry): Failure =>
  failure('ima', 'validation.ima-ng.not_in_allowlist', {
    message: 'the first entry of the IMA log is not boot_aggregate: this is not the log of a whole boot',
    line: 1,
    path,
  })

const unreadable = (line: number, defect: string): Failure =>
  failure('ima', 'parser.entry', { message: `line ${line} of the IMA log cannot be read: ${defect}`, line })
