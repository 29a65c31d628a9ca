import { parseBoundedJson, SMALL_JSON } from '../../core/api/bounded-json.ts'
import { Effort, TooMuchEffort } from '../../core/concurrency/effort.ts'
import { judgeAnswer } from '../../core/judging/judge-answer.ts'
import type { JudgedRound, Judging, RoundToJudge } from '../../core/judging/judging.ts'
import { overBudget } from '../../core/judging/over-budget.ts'
import { isTrivial, readPolicy } from '../../core/judging/read-policy.ts'
import { textOf } from '../../core/policy/machine-policy.ts'
import { sized } from '../../core/tpm/byte-writer.ts'
import { asBuffer, type JobTerms, movable, type Priority } from '../workers/job.ts'
import { noResultReason } from '../workers/pool-errors.ts'
import type { WorkerPool } from '../workers/worker-pool.ts'
import { judgedRound } from './judged-round.ts'
import type { JudgingJobs } from './judging-jobs.ts'
import type { JudgingRules } from './judging-rules.ts'
import { splitAtOnce } from './split-at-once.ts'
import { type SplitTexts, splitLargeTexts } from './split-large-texts.ts'

export interface JudgingOptions {
  pool: WorkerPool<JudgingJobs>
  rules: JudgingRules
  /** Processor time of one judgement in a worker. */
  budgetSeconds: number
}

/** An answer over this goes to a worker unread; below, it takes some milliseconds at most to be read. */
const INLINE_BYTES = 256 << 10
/** Microseconds that a judgement may cost at once, as `Effort` reckons it; the rest of a round takes about as long again at most. */
const INLINE_EFFORT = 6000
const INLINE_JSON_BYTES = 1 << 20
/** Of what anybody may ask. */
export const PUBLIC_BUDGET_MS = 2000

/** Judges at once what is small, and the rest in the workers of the pool. */
export function createJudging({ pool, rules, budgetSeconds }: JudgingOptions): Judging {
  const terms = (priority: Priority, bytes: Uint8Array, transfer: ArrayBuffer[] = []): JobTerms => ({
    priority,
    budgetMs: priority === 'public' ? PUBLIC_BUDGET_MS : budgetSeconds * 1000,
    bytes: bytes.length,
    transfer,
  })

  async function judgeInWorker(round: RoundToJudge): Promise<JudgedRound> {
    const { known, keep } = round
    const { policy, ak, transportKey, accepted, clockInfo, ima, attestationCount } = known
    const { nonce, evaluateBootAlways, unbound } = round.request
    const size = round.answer.length
    const { bytes, memory } = movable(round.answer)
    const job = {
      answer: bytes,
      asked: round.asked,
      request: { nonce, evaluateBootAlways, unbound },
      known: { transportKey, accepted, clockInfo, ima, attestationCount },
      ak: sized(ak.bytes),
      policy: policy.packed,
      keep,
      rules,
    }
    try {
      return withBuffers(await pool.run('judgeRound', job, terms('attestation', bytes, [memory])))
    } catch (error) {
      switch (noResultReason(error)) {
        case 'budget':
          return tooMuch({ what: 'time', bytes: size, seconds: budgetSeconds })
        case 'memory':
          return tooMuch({ what: 'memory', bytes: size, seconds: budgetSeconds })
        case 'full':
        case 'late':
        case 'slow':
        case 'stopping':
          return { kind: 'later', reason: (error as Error).message }
        default:
          throw error // a bug, or a worker that died for no known reason
      }
    }
  }

  async function splitLarge(body: Buffer): Promise<SplitTexts> {
    const atOnce = splitAtOnce(body)
    if (atOnce) return atOnce
    const { bytes, memory } = movable(body)
    return pool.run('readJson', bytes, terms('operator', bytes, [memory]))
  }

  return {
    judgeRound(round) {
      const { answer, known, request, keep } = round
      if (answer.length > INLINE_BYTES || known.policy.heavy) return judgeInWorker(round)
      try {
        const judged = judgeAnswer(round, known, { ...request, effort: new Effort(INLINE_EFFORT) })
        if (typeof judged === 'string') return { kind: 'unreadable', reason: judged }
        const { imaKeys } = known.policy.packed
        return judgedRound(judged, {
          known,
          request,
          keep,
          imaKeys: imaKeys ? textOf(imaKeys.text) : '',
          failOnViolations: rules.failOnViolations,
        })
      } catch (error) {
        if (!(error instanceof TooMuchEffort)) throw error
        return judgeInWorker(round)
      }
    },

    async readPolicy(given) {
      if (isTrivial(given)) return readPolicy(given, rules)
      const { bytes, memory } = movable(given.bytes)
      const priority = given.arrives ? 'operator' : 'attestation' // machines wait for a stored one
      const read = await pool.run('readPolicy', { given: { ...given, bytes }, rules }, terms(priority, bytes, [memory]))
      return { ...read, bytes: asBuffer(read.bytes) }
    },

    readKeys: async (text) =>
      text === '' ? null : pool.run('readKeys', text, { ...terms('operator', new Uint8Array()), bytes: text.length }),

    async verifyOnce(body) {
      const { bytes, memory } = movable(body)
      return pool.run('verifyOnce', { body: bytes, rules }, terms('public', bytes, [memory]))
    },

    async readJson(body) {
      const { value, large } =
        body.length <= INLINE_JSON_BYTES ? splitLargeTexts(parseBoundedJson(body, 'the body', SMALL_JSON)) : await splitLarge(body)
      return { value, large: new Map([...large].map(([name, text]) => [name, asBuffer(text)])) }
    },

    async explainWithEvidence(story) {
      const { evidence } = story.round
      return asBuffer(await pool.run('explainWithEvidence', story, terms('operator', evidence)))
    },

    stop: () => pool.stop(),
  }
}

const tooMuch = (excess: Parameters<typeof overBudget>[0]): JudgedRound => ({
  kind: 'judged',
  verdict: overBudget(excess),
  hashAlg: '',
  kept: { evidence: null, cut: ['evidence'] },
})

/** What came from another thread: its bytes are Buffers again. */
function withBuffers(judged: JudgedRound): JudgedRound {
  if (judged.kind !== 'judged') return judged
  const { verdict, kept } = judged
  const pcr10 = verdict.ima.pcr10 && asBuffer(verdict.ima.pcr10)
  return {
    ...judged,
    verdict: { ...verdict, ima: { ...verdict.ima, pcr10 } },
    kept: kept?.evidence ? { ...kept, evidence: asBuffer(kept.evidence) } : kept,
  }
}
