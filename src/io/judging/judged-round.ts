import type { EvidenceRequest, KnownAgent } from '../../core/attestation/verify-evidence.ts'
import type { JudgedAnswer } from '../../core/judging/judge-answer.ts'
import type { JudgedRound, KeepRules } from '../../core/judging/judging.ts'
import { sized } from '../../core/tpm/byte-writer.ts'
import { packEvidence } from './pack-evidence.ts'

interface Circumstances {
  known: KnownAgent
  request: EvidenceRequest
  keep: KeepRules | null
  imaKeys: string
  failOnViolations: boolean
}

/** A verdict, with the evidence packed if it is a failure that shall be kept. */
export function judgedRound({ verdict, hashAlg, reply, report }: JudgedAnswer, { keep, ...circumstances }: Circumstances): JudgedRound {
  if (verdict.outcome !== 'failed' || !keep) return { kind: 'judged', verdict, hashAlg, kept: null, report }
  const ids = verdict.failures.map(({ eventId }) => eventId)
  if (keep.unless && ids.join() === keep.unless.join()) return { kind: 'judged', verdict, hashAlg, kept: null }
  const { known, request, imaKeys, failOnViolations } = circumstances
  const ak = sized(known.ak.bytes).toString('base64')
  const { nonce, evaluateBootAlways, unbound } = request
  const round = { reply, nonce, evaluateBootAlways, unbound }
  const kept = packEvidence({ ak, known, round, failOnViolations, imaKeys }, keep.maxBytes)
  return { kind: 'judged', verdict, hashAlg, kept }
}
