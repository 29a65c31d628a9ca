import { type JsonLimits, jsonExcess } from '../api/bounded-json.ts'
import { parseInPlace } from '../api/parse-in-place.ts'
import type { Submission } from '../api/push/attestation.ts'
import type { DeliveryReport } from '../api/push/delivery.ts'
import { type EvidenceRequest, type EvidenceVerdict, judgeReply, type KnownAgent } from '../attestation/verify-evidence.ts'
import { type AskedEvidence, resultsOfSubmission, resultsOfV3 } from '../evidence/read-evidence-v3.ts'

/** Of an answer: fields and texts, whatever their length. */
const ANSWER_LIMITS: JsonLimits = { maxDepth: 16, maxValues: 1000 }
const MAX_HASH_NAME = 20

export interface JudgedAnswer {
  verdict: EvidenceVerdict
  /** `results` of the answer. */
  reply: unknown
  hashAlg: string
  /** What the machine says of a delivery; null for nothing. */
  report: DeliveryReport | null
}

/** What was read of an answer. */
export interface ReadAnswer {
  results: unknown
  report: DeliveryReport | null
}

/**
 * Judges the body of an agent's answer. @param asked of a machine that brings its evidence by API 3.0. @param given what it brings, where the body was read already. @returns a sentence when it is no answer of the protocol.
 * @throws TooMuchEffort where the request bounds the effort.
 */
export function judgeAnswer(
  { answer, asked, given }: { answer: Buffer; asked?: AskedEvidence | undefined; given?: Submission | undefined },
  known: KnownAgent,
  request: EvidenceRequest,
): JudgedAnswer | string {
  const reply = asked && given ? resultsOfSubmission(given, asked) : readReply(answer, asked, () => undefined)
  return typeof reply === 'string' ? reply : judgeRead(reply, known, request)
}

/** The second half of `judgeAnswer`, for who lets go of the bytes in between: they may be tens of megabytes. */
export function judgeRead(reply: ReadAnswer, known: KnownAgent, request: EvidenceRequest): JudgedAnswer {
  const verdict = judgeReply(known, { ...request, reply: reply.results })
  const hashAlg = (reply.results as { hash_alg?: unknown } | null)?.hash_alg
  return {
    verdict,
    reply: reply.results,
    hashAlg: typeof hashAlg === 'string' ? hashAlg.slice(0, MAX_HASH_NAME) : '',
    report: reply.report,
  }
}

/**
 * The first half: `results` of an answer of API 2.x, or evidence of API 3.0 in that form. @param letGo called as soon as the bytes are not needed any more. @returns a sentence when it is no answer
 * of the protocol.
 */
export function readReply(bytes: Buffer, asked: AskedEvidence | undefined, letGo: () => void): ReadAnswer | string {
  const excess = jsonExcess(bytes, ANSWER_LIMITS)
  if (excess) return `the answer ${excess}`
  let json: unknown
  try {
    json = parseInPlace(bytes)
  } catch {
    return 'the answer is not JSON'
  } finally {
    letGo()
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return 'the answer is not a JSON object'
  return asked ? resultsOfV3(json, asked) : { results: (json as { results?: unknown }).results ?? {}, report: null }
}
