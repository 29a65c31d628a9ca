import { type IntegrityQuote, integrityQuote } from '../api/agent.ts'
import { defectsOf } from '../api/parse-message.ts'
import { plainIntegrityQuote } from '../api/plain-evidence.ts'
import { type Failure, irrecoverable } from '../verdict/failure.ts'
import type { Evidence } from './evidence.ts'
import { joinRawLines } from './raw-lines.ts'

/**
 * Reads evidence from `results` of an agent of API 2.x (protocol 4.3), which may be anything. @returns why it is none, as a failure: a machine that
 * answers nonsense is judged, never an exception.
 */
export function readEvidenceV2(results: unknown): { evidence: Evidence } | { failure: Failure } {
  const plain = plainIntegrityQuote(results)
  if (plain) return { evidence: evidenceOf(plain) }
  const parsed = integrityQuote.safeParse(results)
  return parsed.success ? { evidence: evidenceOf(parsed.data) } : { failure: notEvidence(defectsOf(parsed.error)) }
}

function evidenceOf(reply: IntegrityQuote): Evidence {
  const { ima_measurement_list: list, ima_measurement_list_raw: raw } = reply
  return {
    quote: reply.quote,
    algorithms: { hash: reply.hash_alg, encryption: reply.enc_alg, signing: reply.sign_alg },
    transportKey: reply.pubkey ?? null,
    imaLog:
      list === undefined || list === null
        ? null
        : { text: raw ? joinRawLines(list, raw) : list, firstEntry: reply.ima_measurement_list_entry ?? 0 },
    bootLog: reply.mb_measurement_list ? Buffer.from(reply.mb_measurement_list, 'base64') : null,
    systemdLog: reply.systemd_measurement_list ?? null,
    bootTime: reply.boottime ?? 0,
  }
}

const notEvidence = (reason: string) =>
  irrecoverable('qoute_validation', 'invalid_data', { message: `the reply is not evidence: ${reason}` })
