import { isOperationalState, stateText } from '../../core/attestation/operational-state.ts'
import type { AgentStatus } from './verifier-service.ts'

/** Each failure of an agent in words, one to a paragraph; verifiers of upstream give only the id of the last. */
export function explainFailures(status: AgentStatus): string {
  const failures = status.failures ?? []
  if (failures.length > 0) return failures.map(explain).join('\n')
  const state = isOperationalState(status.operational_state) ? stateText(status.operational_state) : String(status.operational_state)
  return `  ${status.last_event_id || 'no reason given'} (state: ${state})`
}

function explain(failure: NonNullable<AgentStatus['failures']>[number]): string {
  const { message, got, expected, meaning } = failure.context as { message?: unknown; got?: unknown; expected?: unknown; meaning?: unknown }
  const lines = [`  ${message ?? failure.event_id} [${failure.event_id}${failure.severity_label ? `, ${failure.severity_label}` : ''}]`]
  if (got !== undefined) lines.push(`    found:    ${plain(got)}`)
  if (expected !== undefined) lines.push(`    expected: ${plain(expected)}`)
  if (typeof meaning === 'string') lines.push(`    accepting it means: ${meaning}`)
  const advice = adviceFor(failure.event_id)
  if (advice) lines.push(`    to do:    ${advice}`)
  return lines.join('\n')
}

const ADVICE: readonly [RegExp, string][] = [
  [/^pcr_validation\.(invalid_pcr_16|missing_pcr_16)$/, 'the transport key is not bound by the TPM: treat the machine as compromised'],
  [/^pcr_validation\.invalid_pcr_\d+$/, 'find out what changed the PCR; if the change is meant, put the new value into the policy'],
  [/^pcr_validation\.(missing_pcrs|unused_pcr_10)$/, 'the policy asks for what the agent does not measure'],
  [/^ima\.validation\..*not_in_allowlist$/, 'a file ran that the runtime policy does not know: remove it, or add its digest to the policy'],
  [/^ima\.pcr_mismatch$/, 'the measurement list does not fit PCR 10: it was changed, or cut'],
  [/^measured_boot\./, 'the machine booted something else than the reference state says'],
  [/^qoute_validation\.(invalid_\w+_alg)$/, 'add the algorithm to the accept_tpm_… option in tenant.conf, or change the agent’s'],
  [/^qoute_validation\./, 'the quote is not genuine: treat the machine as compromised'],
]

const adviceFor = (eventId: string) => ADVICE.find(([pattern]) => pattern.test(eventId))?.[1]

const plain = (value: unknown) => (Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value))
