import { hostPort } from '../../../../core/api/host-port.ts'
import type { JsonApiError } from '../../../../core/api/push/json-api.ts'
import { OPERATIONAL_STATE } from '../../../../core/attestation/operational-state.ts'
import type { ManagedAgent } from '../../agents/managed-agent.ts'
import type { PushParts } from '../push-parts.ts'

const { TENANT_FAILED, TERMINATED } = OPERATIONAL_STATE

/** Why a machine that proved who it is may bring no evidence; null when it may. What a new proof cannot mend is never 401: agents prove themselves again at once then. */
export function notAdmitted(agent: ManagedAgent | undefined, { autoRecover }: Pick<PushParts, 'autoRecover'>): JsonApiError | null {
  if (!agent)
    return {
      status: 404,
      code: 'not_found',
      detail: 'this verifier does not attest that agent: it is not enrolled, or cannot be attested now',
    }
  const { enrolment, state } = agent
  const disabled = (detail: string): JsonApiError => ({ status: 403, code: 'agent_attestations_disabled', detail })
  if (agent.connection) return disabled(isAsked(enrolment))
  if (state.polled) return null
  if (state.operational === TENANT_FAILED || state.operational === TERMINATED)
    return disabled('an operator stopped the attestation of this agent; `keylime tenant reactivate` starts it again')
  if (autoRecover) return null
  const [worst] = state.failures
  const why = worst ? ` (${worst.eventId}: ${String(worst.context?.['message'] ?? '')})` : ''
  return disabled(`this agent failed attestation${why}; \`keylime tenant reactivate\` lets it prove itself again`)
}

/** Of a machine with an address. It is never switched without a word of the operator's. */
export const isAsked = ({ agentId, ip, port }: ManagedAgent['enrolment']): string =>
  `agent ${agentId} is enrolled with the address ${hostPort(ip, port)}: the verifier asks it there; enrol it with \`keylime tenant update -u ${agentId} --push-model\` to have it bring its evidence`
