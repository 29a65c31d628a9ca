import { judgeReply } from '../../../src/core/attestation/verify-evidence.ts'
import { isKeylimeError } from '../../../src/core/errors.ts'
import { FRESH_IMA } from '../../../src/core/ima/ima-policy.ts'
import { parseStoredPolicy } from '../../../src/core/ima/stored-policy.ts'
import { parseBootPolicy } from '../../../src/core/measured-boot/boot-policy.ts'
import { parseTpmPolicy } from '../../../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { nativePcrReplay } from '../../../src/io/native/pcr-replay.ts'
import type { Evidence } from './evidence.ts'

/** Of either judge. */
export type Verdict = { passed: boolean; events: string[]; messages?: string[] } | { refused: string } | { raised: string }

export const hasPassed = (verdict: Verdict): boolean => 'passed' in verdict && verdict.passed

const ACCEPTED = { hash: ['sha512', 'sha384', 'sha256'], encryption: ['ecc', 'rsa'], signing: ['ecschnorr', 'ecdsa', 'rsassa'] }

/** What our verifier says: a policy that it would not have stored is `refused`; anything that it throws beside that is a bug. */
export function ourVerdict({ agent, runtime_policy, mb_policy, reply }: Evidence): Verdict {
  try {
    const policy = {
      tpm: parseTpmPolicy(agent.tpm_policy),
      ima: runtime_policy === null ? null : parseStoredPolicy(runtime_policy, { failOnViolations: false, replay: nativePcrReplay }).ima,
      boot: mb_policy === null ? null : parseBootPolicy(mb_policy, 'example'),
    }
    const ak = parsePublicArea(Buffer.from(agent.ak, 'base64'))
    const known = { ak, transportKey: null, accepted: ACCEPTED, policy, clockInfo: null, ima: FRESH_IMA, attestationCount: 0 }
    const verdict = judgeReply(known, { reply, nonce: agent.nonce, evaluateBootAlways: true })
    const failures = verdict.outcome === 'failed' ? verdict.failures : []
    return {
      passed: verdict.outcome === 'passed',
      events: failures.map(({ eventId }) => eventId),
      messages: failures.map(({ context }) => String(context['message'])),
    }
  } catch (error) {
    return isKeylimeError(error) ? { refused: error.message } : { raised: String((error as Error).stack) }
  }
}
