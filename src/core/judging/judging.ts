import type { Submission } from '../api/push/attestation.ts'
import type { DeliveryReport } from '../api/push/delivery.ts'
import type { EvidenceRequest, EvidenceVerdict, KnownAgent } from '../attestation/verify-evidence.ts'
import type { AskedEvidence } from '../evidence/read-evidence-v3.ts'
import type { FailedRound } from '../explanation/failed-round.ts'
import type { MachinePolicy, ReadBootPolicy, ReadRuntimePolicy, SharedText } from '../policy/machine-policy.ts'
import type { PolicyDanger } from '../policy/policy-dangers.ts'

/**
 * The port through which everything is judged that somebody else wrote. What is small is done at once; what may be large is done where nobody waits for it,
 * with a bound on its time.
 */
export interface Judging {
  /** Never rejects for what a machine sent. Rejects for a bug: the caller fails closed. */
  judgeRound(round: RoundToJudge): JudgedRound | Promise<JudgedRound>
  /** @throws KeylimeError `invalid_request` or `unauthorized` for what cannot be judged by, `unavailable` where there is no room or it takes too long. */
  readPolicy(given: PolicyText): Promise<ReadPolicy>
  /** Keys of an agent's own for signed files; null for the empty text. @throws KeylimeError `invalid_request`, `unavailable`. */
  readKeys(text: string): Promise<SharedText | null>
  /** Judges evidence that anybody sent, once. @throws KeylimeError `invalid_request`; `unavailable` when others are asked already, or it takes too long. */
  verifyOnce(body: Buffer): Promise<OneShotVerdict>
  /** @throws KeylimeError `invalid_request` for what is no JSON, or has too many values; `unavailable`. */
  readJson(body: Buffer): Promise<JsonBody>
  /** The whole answer of `GET /agents/:id/explanation?evidence=1`, JSON in UTF-8. @throws KeylimeError `invalid_request` for evidence that somebody changed. */
  explainWithEvidence(story: FailureStory): Promise<Buffer>
  stop(): Promise<void>
}

/** An answer to a request for evidence, and what is known of the machine. */
export interface RoundToJudge {
  /** Body of the answer with HTTP status 200, as it came. It is handed over, and worthless afterwards. */
  answer: Buffer
  /** What was asked of a machine that brings its evidence by API 3.0; absent for an answer of API 2.x. */
  asked?: AskedEvidence | undefined
  /** What such a machine brings, where its small body was read already. */
  given?: Submission | undefined
  request: EvidenceRequest
  known: KnownAgent & { policy: MachinePolicy }
  /** Null where nothing shall be kept of a failure. */
  keep: KeepRules | null
}

export interface KeepRules {
  /** Of one agent, compressed. */
  maxBytes: number
  /** Ids of the failures that were kept a moment ago, in their order: the same ones are not kept again. Null keeps any. */
  unless: readonly string[] | null
}

/** Evidence of a failure as it is stored, and the logs that had to be left out. */
export type KeptEvidence = Pick<FailedRound, 'evidence' | 'cut'>

export type JudgedRound =
  /** A verdict on the machine. Evidence that took too much time or memory is a failed round too, `internal.verifier.judging_budget`: fail closed. */
  | {
      kind: 'judged'
      verdict: EvidenceVerdict
      /** Bank of the quote as the agent said it, at most 20 characters; empty when it said none. */
      hashAlg: string
      /** Null when the round did not fail, or `keep` says so. */
      kept: KeptEvidence | null
      /** What the machine says of a delivery, believed only when the round passed; missing or null for nothing. */
      report?: DeliveryReport | null
    }
  /** The answer is no answer of the protocol: no JSON object, nested too deeply, or of too many values. As if there had been none. */
  | { kind: 'unreadable'; reason: string }
  /** There was no room. Says nothing of the machine: ask again later. */
  | { kind: 'later'; reason: string }

/** A policy's text as it arrives or as it is stored. */
export interface PolicyText {
  kind: 'runtime' | 'mb'
  /** UTF-8, or base64 of it. Handed over, and worthless afterwards. */
  bytes: Buffer
  encoding?: 'utf8' | 'base64'
  /** It arrives now: its signature is checked, with this PEM key where one came. A stored one was checked when it arrived. */
  arrives?: { key: string | null }
}

/** A policy ready to judge by. */
export interface ReadPolicy {
  /** SHA-256 of the text, hex. */
  digest: string
  /** The text itself, UTF-8. */
  bytes: Buffer
  /** Null for a measured boot policy. */
  runtime: ReadRuntimePolicy | null
  /** Null for a runtime policy, and for a text that demands nothing. */
  boot: ReadBootPolicy | null
  /** What whoever gave it should know. */
  dangers: readonly PolicyDanger[]
}

export interface OneShotVerdict {
  valid: boolean
  failures: { type: string; context: Record<string, unknown> }[]
}

/** A large body: what is long in it stays bytes, so that no thread makes one text of it that needs it not. */
export interface JsonBody {
  /** Texts of over 64 KiB directly in the object, or in an object that is its member, are empty here. */
  value: unknown
  /** These texts in UTF-8, by `member` or `object.member`. */
  large: ReadonlyMap<string, Buffer>
}

export interface FailureStory {
  agentId: string
  round: FailedRound & { evidence: Buffer }
  attestedSince: boolean
}
