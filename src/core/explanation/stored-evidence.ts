import { z } from 'zod'
import { integrityQuote } from '../api/agent.ts'
import { parseMessage } from '../api/parse-message.ts'
import { type EvidenceRound, type EvidenceVerdict, judgeReply, type KnownAgent } from '../attestation/verify-evidence.ts'
import type { AgentPolicy } from '../policy/agent-policy.ts'
import { parsePublicArea } from '../tpm/public-area.ts'

/** One round with what the verifier knew before it. */
export interface RoundEvidence {
  /** Base64 TPM2B_PUBLIC. */
  ak: string
  known: Pick<KnownAgent, 'transportKey' | 'accepted' | 'clockInfo' | 'ima' | 'attestationCount'>
  round: EvidenceRound
  failOnViolations: boolean
  /** The agent's own keys for signed files; empty for none. */
  imaKeys: string
}

const algorithms = z.array(z.string())
const storedEvidence = z.object({
  ak: z.string(),
  nonce: z.string(),
  reply: z.unknown(),
  evaluate_boot: z.boolean(),
  /** Whether the quote had to bind a transport key. */
  binds_key: z.boolean().default(true),
  fail_on_violations: z.boolean(),
  ima_keys: z.string(),
  before: z.object({
    transport_key: z.string().nullable(),
    accepted: z.object({ hash: algorithms, encryption: algorithms, signing: algorithms }),
    clock: z.object({ clock: z.string().regex(/^\d+$/), reset_count: z.number(), restart_count: z.number(), safe: z.boolean() }).nullable(),
    ima: z.object({
      next_entry: z.number(),
      pcr10: z.string().nullable(),
      boot_time: z.number(),
      learned: z.string(),
      last_match: z.object({ line: z.number(), length: z.number() }).nullable(),
    }),
    attestation_count: z.number(),
  }),
})
export type StoredEvidence = z.infer<typeof storedEvidence>

/** Logs of a reply, in the order in which they are given up when there is no room. */
export const LOGS = ['ima_measurement_list', 'mb_measurement_list'] as const

/** The evidence as JSON. Only members that are judged are kept of a reply: nothing that an agent adds can get into the store. */
export function storeEvidence({ ak, known, round, failOnViolations, imaKeys }: RoundEvidence, cut: readonly string[]): StoredEvidence {
  const { clockInfo, ima } = known
  return {
    ak,
    nonce: round.nonce,
    reply: judgedMembers(round.reply, cut),
    evaluate_boot: round.evaluateBootAlways,
    binds_key: round.unbound !== true,
    fail_on_violations: failOnViolations,
    ima_keys: imaKeys,
    before: {
      transport_key: known.transportKey,
      accepted: { hash: [...known.accepted.hash], encryption: [...known.accepted.encryption], signing: [...known.accepted.signing] },
      clock: clockInfo && {
        clock: String(clockInfo.clock),
        reset_count: clockInfo.resetCount,
        restart_count: clockInfo.restartCount,
        safe: clockInfo.safe,
      },
      ima: {
        next_entry: ima.nextEntry,
        pcr10: ima.pcr10?.toString('hex') ?? null,
        boot_time: ima.bootTime,
        learned: ima.learned,
        last_match: ima.lastMatch,
      },
      attestation_count: known.attestationCount,
    },
  }
}

function judgedMembers(reply: unknown, cut: readonly string[]): unknown {
  if (typeof reply !== 'object' || reply === null) return null
  const members = Object.keys(integrityQuote.shape).filter((name) => !cut.includes(name) && name in reply)
  return Object.fromEntries(members.map((name) => [name, (reply as Record<string, unknown>)[name]]))
}

/** @throws KeylimeError `invalid_request` for what is no stored evidence. */
export const readEvidence = (json: unknown): StoredEvidence => parseMessage(storedEvidence, json, 'the stored evidence')

/** Judges stored evidence by the same core as the verifier did, with what it knew then. @param pcrs that were asked for then. */
export function judgeAgain(stored: StoredEvidence, policy: AgentPolicy, pcrs?: readonly number[]): EvidenceVerdict {
  const { transport_key, accepted, clock, ima, attestation_count } = stored.before
  const known: KnownAgent = {
    ak: parsePublicArea(Buffer.from(stored.ak, 'base64')),
    transportKey: transport_key,
    accepted,
    policy,
    clockInfo: clock && {
      clock: BigInt(clock.clock),
      resetCount: clock.reset_count,
      restartCount: clock.restart_count,
      safe: clock.safe,
    },
    ima: {
      nextEntry: ima.next_entry,
      pcr10: ima.pcr10 === null ? null : Buffer.from(ima.pcr10, 'hex'),
      bootTime: ima.boot_time,
      learned: ima.learned,
      lastMatch: ima.last_match,
    },
    attestationCount: attestation_count,
  }
  const { reply, nonce, evaluate_boot: evaluateBootAlways, binds_key: binds } = stored
  return judgeReply(known, { reply, nonce, evaluateBootAlways, unbound: !binds, pcrs })
}
