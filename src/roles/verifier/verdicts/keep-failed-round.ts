import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { type EvidenceRound, type EvidenceVerdict, type KnownAgent, quotedPcrs } from '../../../core/attestation/verify-evidence.ts'
import type { FailedRound } from '../../../core/explanation/failed-round.ts'
import { LOGS, type RoundEvidence, readEvidence, type StoredEvidence, storeEvidence } from '../../../core/explanation/stored-evidence.ts'
import type { Judgement } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'

/** A verdict, what was judged, and by what: kept until the verdict is stored. */
export interface JudgedRound {
  known: KnownAgent & { policy: BookedPolicy }
  round: EvidenceRound
  verdict: EvidenceVerdict
}

/** Settings of the verifier that take part in a verdict. */
export interface EvidenceRules {
  bootPolicy: string
  failOnViolations: boolean
  /** Of one agent on the disk, compressed. */
  maxBytes: number
}

export interface Kept {
  judged: Pick<JudgedRound, 'known' | 'round'>
  judgement: Judgement
  rules: EvidenceRules
  clock: Clock
}

/** Of one agent in memory while it is compressed, in characters of its answer. */
const MAX_TEXT = 48 << 20
/** An agent whose failures are let pass is asked again at once: the same failures are kept once in this time. */
const SAME_AGAIN_MS = 60_000

const compress = promisify(zlib.zstdCompress)
/** Digests have no patterns to search for: more work makes a measurement list larger, not smaller. */
const FASTEST = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }
const decompress = promisify(zlib.zstdDecompress)

/** What is stored with the verdict; null when the same failures were stored a moment ago. */
export async function keepFailedRound(agent: ManagedAgent, { judged, judgement, rules, clock }: Kept): Promise<FailedRound | null> {
  const { known, round } = judged
  const { failures, recoverable } = judgement
  const ids = (list: readonly { eventId: string }[]) => list.map(({ eventId }) => eventId).join()
  const again = agent.evidenceStored > 0 && clock.monotonic() - agent.evidenceStored < SAME_AGAIN_MS
  if (recoverable && again && ids(agent.state.failures) === ids(failures)) return null
  agent.evidenceStored = clock.monotonic()
  const { ak, imaKeys = '' } = agent.enrolment
  const packed = await packEvidence({ ak, known, round, failOnViolations: rules.failOnViolations, imaKeys }, rules.maxBytes)
  const hashAlg = (round.reply as { hash_alg?: unknown } | null)?.hash_alg
  return {
    at: clock.now(),
    failures,
    judges: {
      tpmPolicy: agent.enrolment.tpmPolicy,
      pcrs: quotedPcrs(known.policy),
      hashAlg: typeof hashAlg === 'string' ? hashAlg.slice(0, 20) : '',
      runtimePolicy: known.policy.refs.runtime,
      mbPolicy: known.policy.refs.mb,
      bootPolicy: rules.bootPolicy,
    },
    attestationCount: known.attestationCount,
    lastGood: agent.progress.lastSuccessfulAttestation,
    ...packed,
  }
}

const NOTHING_KEPT: Pick<FailedRound, 'evidence' | 'cut'> = { evidence: null, cut: ['evidence'] }

/** Compresses evidence; a log that leaves no room is left out, and named. Never throws: the verdict does not wait for what is kept of it. */
export async function packEvidence(evidence: RoundEvidence, maxBytes: number): Promise<Pick<FailedRound, 'evidence' | 'cut'>> {
  try {
    for (let count = 0; count <= LOGS.length; count++) {
      const cut = LOGS.slice(0, count)
      const stored = storeEvidence(evidence, cut)
      if (textSize(stored.reply) > MAX_TEXT) continue
      const bytes = await compress(JSON.stringify(stored), FASTEST)
      if (bytes.length <= maxBytes) return { evidence: bytes, cut: [...cut] }
    }
  } catch {} // no memory, or a text that is too long
  return NOTHING_KEPT
}

/** Counted before it is made one text: a hostile answer must not be copied first. */
function textSize(reply: unknown): number {
  if (typeof reply !== 'object' || reply === null) return 0
  return Object.values(reply).reduce((sum: number, value) => sum + (typeof value === 'string' ? value.length : 0), 0)
}

/** The content of what `packEvidence` made. @throws KeylimeError `invalid_request` when the database was changed by somebody else. */
export async function unpackEvidence(bytes: Buffer): Promise<StoredEvidence> {
  return readEvidence(JSON.parse((await decompress(bytes)).toString('utf8')))
}
