import { createHash } from 'node:crypto'
import { parseBoundedJson, SMALL_JSON } from '../../core/api/bounded-json.ts'
import type { EvidenceRequest, KnownAgent } from '../../core/attestation/verify-evidence.ts'
import { explain } from '../../core/explanation/explanation.ts'
import { judgeRead, readReply } from '../../core/judging/judge-answer.ts'
import type { FailureStory, JudgedRound, PolicyText, ReadPolicy, RoundToJudge } from '../../core/judging/judging.ts'
import { type ReadingRules, readPolicy } from '../../core/judging/read-policy.ts'
import { verifySubmitted } from '../../core/judging/verify-submitted.ts'
import { parseBootPolicy } from '../../core/measured-boot/boot-policy.ts'
import {
  createPolicyShelf,
  type PackedAgentPolicy,
  type PolicyShelf,
  packKeys,
  textOf,
  unpackAgentPolicy,
} from '../../core/policy/machine-policy.ts'
import { parsePublicArea } from '../../core/tpm/public-area.ts'
import { asBuffer } from '../workers/job.ts'
import { judgedRound } from './judged-round.ts'
import { type JudgingRules, withNativeAddon } from './judging-rules.ts'
import { unpackEvidence } from './pack-evidence.ts'
import { splitLargeTexts } from './split-large-texts.ts'

/** What of a round goes to a worker: Buffers arrive as Uint8Arrays. */
export interface RoundJob {
  answer: Uint8Array
  asked: RoundToJudge['asked']
  request: Pick<EvidenceRequest, 'nonce' | 'evaluateBootAlways' | 'unbound'>
  known: Omit<KnownAgent, 'ak' | 'policy'>
  /** TPM2B_PUBLIC */
  ak: Uint8Array
  policy: PackedAgentPolicy
  keep: RoundToJudge['keep']
  rules: JudgingRules
}

/** Policies that a worker keeps ready; their digests are shared memory, but compiled excludes are not. */
const SHELF_SIZE = 8
/** Longer than this, taking up a measured boot policy is for workers alone. */
const HEAVY_MS = 10
const TRIES = 3

/** What the workers do for `createJudging`. */
export function judgingJobs() {
  let shelf: PolicyShelf | null = null // all jobs of a process have the same rules
  return {
    judgeRound(job: RoundJob): JudgedRound {
      const { rules, request, keep } = job
      shelf ??= createPolicyShelf(rules.bootPolicy, SHELF_SIZE)
      const known: KnownAgent = {
        ...job.known,
        ima: { ...job.known.ima, pcr10: job.known.ima.pcr10 && asBuffer(job.known.ima.pcr10) },
        ak: parsePublicArea(job.ak),
        policy: unpackAgentPolicy(job.policy, shelf, withNativeAddon(rules)),
      }
      const reply = readReply(asBuffer(job.answer), job.asked, () => letGo(job.answer))
      if (typeof reply === 'string') return { kind: 'unreadable', reason: reply }
      const judged = judgeRead(reply, known, request)
      const imaKeys = job.policy.imaKeys ? textOf(job.policy.imaKeys.text) : ''
      return judgedRound(judged, { known, request, keep, imaKeys, failOnViolations: rules.failOnViolations })
    },

    readPolicy({ given, rules }: { given: Omit<PolicyText, 'bytes'> & { bytes: Uint8Array }; rules: ReadingRules }): ReadPolicy {
      const read = readPolicy({ ...given, bytes: asBuffer(given.bytes) }, rules)
      return read.boot
        ? { ...read, boot: { ...read.boot, heavy: takesLong(() => parseBootPolicy(textOf(read.boot!.text), rules.bootPolicy)) } }
        : read
    },

    readKeys: (text: string) => packKeys(text, createHash('sha256').update(text).digest('hex')),
    verifyOnce: ({ body, rules }: { body: Uint8Array; rules: JudgingRules }) => verifySubmitted(asBuffer(body), withNativeAddon(rules)),
    readJson: (body: Uint8Array) => splitLargeTexts(parseBoundedJson(asBuffer(body), 'the body', SMALL_JSON)),

    explainWithEvidence({ agentId, round, attestedSince }: FailureStory): Uint8Array {
      const results = explain(agentId, round, attestedSince, unpackEvidence(round.evidence))
      return new TextEncoder().encode(JSON.stringify({ code: 200, status: 'Success', results }))
    },
  }
}
export type JudgingJobs = ReturnType<typeof judgingJobs>

/** Gives memory back at once, where the collector would come later: answers of many machines follow one another. */
function letGo({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0) // never memory that others have a part of
}

/** The best of some tries: the first ones of a thread are slow. */
function takesLong(work: () => unknown): boolean {
  const times = Array.from({ length: TRIES }, () => {
    const start = performance.now()
    work()
    return performance.now() - start
  })
  return Math.min(...times) > HEAVY_MS
}
