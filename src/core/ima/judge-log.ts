import { ownCopy } from '../own-copy.ts'
import { digestSize } from '../tpm/algorithms.ts'
import { IMA_PCR } from '../tpm/pcr-selection.ts'
import { type Failure, type FailureContext, failure } from '../verdict/failure.ts'
import { type Judging, judgeEntry } from './decide-entry.ts'
import { type ImaEntry, readFields } from './entry.ts'
import { FRESH_IMA, type ImaEvidence, type ImaPolicy, type ImaProgress } from './ima-policy.ts'
import { learnedText, parseLearned } from './learned-from-log.ts'
import { LogLines, looksLikeEntry } from './log-lines.ts'
import { LogReplay } from './log-replay.ts'
import { type MakePcrReplay, pcrReplay } from './pcr-replay.ts'
import type { RuntimePolicy } from './runtime-policy.ts'
import { TemplateData } from './template-data.ts'
import { verifyDigest as plainVerifyDigest, type VerifyDigest, withEffort } from './verify-digest.ts'

/** Failures that are kept of one round; the rest is counted. */
const MAX_FAILURES = 100

/** Characters below which another replay than the plain one costs more than it gains: of one line or two. */
const SHORT_LIST = 400

/** Microseconds: of each line, of each of its characters, and of each character of what was learned. */
const [LINE_COST, CHARACTER_COST, LEARNED_COST] = [3, 0.005, 0.01]

const imaFailure = (name: string, context: FailureContext) => failure('ima', name, context)

/**
 * The judge of a runtime policy (policies A.6, A.10). The quoted PCR 10 must be the value after some entry of the list; all lines are judged,
 * those behind that entry too. A machine that measured nothing does not pass: the first entry of a boot must be boot_aggregate, and must be in
 * the PCR.
 * @param failOnViolation violations are failures, whatever their name says.
 */
export function imaPolicy(
  policy: RuntimePolicy,
  failOnViolation: boolean,
  makeReplay: MakePcrReplay = pcrReplay,
  verifyDigest: VerifyDigest = plainVerifyDigest,
): ImaPolicy {
  return {
    judge({ pcrs, list, progress, bootAggregates, effort }: ImaEvidence) {
      const quoted = pcrs.values.get(IMA_PCR)
      if (!quoted) {
        const message = 'PCR 10, which the IMA log extends, was not quoted'
        return refuse([failure('pcr_validation', `missing_pcr_${IMA_PCR}`, { message })])
      }
      effort?.spend(progress.learned.length * LEARNED_COST)
      const learned = parseLearned(list === '' ? '' : progress.learned) // without new lines nobody asks for it
      const verify = effort ? withEffort(verifyDigest, effort) : verifyDigest
      const judging = {
        policy,
        bootAggregates: list === '' ? [] : digestsOf(bootAggregates),
        failOnViolation,
        learned,
        verifyDigest: verify,
        effort,
      }
      const pcr10 = progress.pcr10 ?? Buffer.alloc(digestSize(pcrs.hash))
      const { logHash } = policy
      const make = list.length < SHORT_LIST ? pcrReplay : makeReplay
      const replay = new LogReplay(make({ logHash, bank: pcrs.hash, start: pcr10, quoted }), logHash)
      replay.isThere = progress.nextEntry > 0 && pcr10.equals(quoted)
      return judgeList({ list, progress, quoted, replay }, judging)
    },
  }
}

/** A round of a machine that has measured nothing new is the usual one. */
const NO_LINES = new LogLines('')

/** Lazily: only an entry boot_aggregate asks for them. */
const digestsOf = (aggregates: Iterable<{ digest: string }>): Iterable<string> => ({
  *[Symbol.iterator]() {
    for (const { digest } of aggregates) yield digest
  },
})

const refuse = (failures: Failure[]) => ({ failures, progress: FRESH_IMA })

interface Log {
  list: string
  progress: ImaProgress
  quoted: Buffer
  replay: LogReplay
}

function judgeList({ list, progress, quoted, replay }: Log, judging: Judging): { failures: Failure[]; progress: ImaProgress } {
  const failures = collector()
  const lines = list === '' ? NO_LINES : new LogLines(list)
  const data = new TemplateData()
  let atMatch = replay.isThere ? { line: 0, learned: progress.learned } : null
  let afterViolation = false
  for (let line = lines.next(); line !== null; line = lines.next()) {
    judging.effort?.spend(LINE_COST + line.length * CHARACTER_COST)
    const first = progress.nextEntry + lines.count
    let entry = readFields(line, data)
    let isTrue = typeof entry !== 'string' && replay.extendIfTrue(entry)
    if (!isTrue && !afterViolation) {
      for (const longer of lines.continuations(line)) {
        judging.effort?.spend(LINE_COST + longer.length * CHARACTER_COST)
        entry = readFields(longer, data)
        isTrue = typeof entry !== 'string' && replay.extendIfTrue(entry)
        if (isTrue) lines.takeContinuation()
        if (isTrue) break
      }
    }
    if (!isTrue) entry = readFields(line, data)
    const defect = typeof entry === 'string' ? entry : isTrue ? null : replay.extendAnyway(entry)
    if (typeof entry !== 'string' && !defect) judgeLine({ entry, number: first, expected: replay.expected }, judging, failures)
    else if (!afterViolation || looksLikeEntry(line)) failures.add(unreadable(defect!, first, line)) // else the rest of the violation's name, which no hash covers
    afterViolation = typeof entry === 'string' ? afterViolation && !looksLikeEntry(line) : replay.expected === null
    if (!atMatch && replay.isThere) atMatch = { line: lines.count, learned: learnedText(judging.learned) }
  }
  const { count } = lines
  if (!atMatch) failures.add(mismatch(replay.value(), quoted, count))
  else if (stalls(progress.lastMatch, atMatch.line, count)) failures.add(stalled(atMatch.line, count))
  if (failures.list.length > 0 || !atMatch) return refuse(failures.done())
  const { line, learned } = atMatch
  const next = { nextEntry: progress.nextEntry + line, lastMatch: { line, length: count } }
  const pcr10 = progress.pcr10?.equals(quoted) ? progress.pcr10 : ownCopy(quoted)
  return { failures: [], progress: { bootTime: progress.bootTime, pcr10, learned, ...next } }
}

interface Line {
  entry: ImaEntry
  /** In the log, from 1. */
  number: number
  /** The template hash that the column must be; null for a violation. */
  expected: string | null
}

function judgeLine({ entry, number: line, expected }: Line, judging: Judging, failures: Collector): void {
  const path = entry.name
  if (entry.pcr !== String(IMA_PCR)) {
    const message = `line ${line} is for PCR ${JSON.stringify(entry.pcr.slice(0, 20))}, not ${IMA_PCR}`
    failures.add(imaFailure('validation.ima_pcr', { message, line, path }))
  }
  const failed = judgeEntry(entry, line, judging, expected)
  if (failed) failures.add(failed)
  if (line > 1 || (path === 'boot_aggregate' && expected !== null)) return
  const message = 'the first entry of the IMA log is not boot_aggregate: this is not the log of a whole boot'
  failures.add(imaFailure('validation.ima-ng.not_in_allowlist', { message, line, path }))
}

function unreadable(reason: string, line: number, entry: string): Failure {
  const message = `line ${line} of the IMA log cannot be read: ${reason}`
  return imaFailure('parser.entry', { message, line, entry: entry.slice(0, 300) })
}

/** A later match must not leave more of the log behind than it covers (policies A.6). */
function stalls(last: ImaProgress['lastMatch'], match: number, length: number): boolean {
  if (!last || match === length) return false
  const lag = last.length - last.line
  return lag > 0 && match < lag
}

const stalled = (match: number, length: number) =>
  imaFailure('quote_progress', { message: 'the quotes fall further and further behind the IMA log', match, length })

function mismatch(running: Buffer, quoted: Buffer, count: number): Failure {
  const message =
    count === 0 && quoted.every((byte) => byte === 0)
      ? 'the machine measured nothing: PCR 10 is zero and the IMA log is empty'
      : 'no part of the IMA log gives the quoted PCR 10: entries are missing, altered or out of order'
  return imaFailure('pcr_mismatch', { message, got: quoted.toString('hex'), expected: [running.toString('hex')], entries: count })
}

interface Collector {
  readonly list: Failure[]
  add(failure: Failure): void
  done(): Failure[]
}

/** All failures up to a bound: a hostile log must not fill memory or the database. A failed replay is always kept. */
function collector(): Collector {
  const list: Failure[] = []
  let dropped = 0
  return {
    list,
    add(item) {
      if (list.length < MAX_FAILURES || item.eventId === 'ima.pcr_mismatch') list.push(item)
      else dropped++
    },
    done() {
      if (dropped > 0) list.at(-1)!.context['more'] = dropped
      return list
    },
  }
}
