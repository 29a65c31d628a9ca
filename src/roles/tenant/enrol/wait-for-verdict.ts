import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { poll } from '../../../io/poll.ts'
import { failuresInShort } from '../explain/failures-in-short.ts'
import type { TenantContext } from '../tenant-context.ts'

const PAUSES = { firstPauseMs: 15, longestPauseMs: 250 }
const RETRY_PAUSE_MS = 250
const { GET_QUOTE, GET_QUOTE_RETRY, FAILED, INVALID_QUOTE, TENANT_FAILED, TERMINATED } = OPERATIONAL_STATE

/** `before`: good verdicts that were there already, for an enrolment that goes on. */
export interface Waited {
  readonly hasKey: boolean
  readonly before?: number
  /** Only a verdict that was not there before counts. */
  readonly isNext?: boolean
}

type Used = Pick<TenantContext, 'verifier' | 'clock' | 'options' | 'report'>

/**
 * Waits until the verifier has judged the agent's first evidence. Returns when it is good and V, if there is one, was released.
 * @throws KeylimeError `attestation_failed` with every failure in words, `unreachable` when the verifier cannot reach the agent, `timeout`.
 */
export async function waitForVerdict(
  { verifier, clock, options, report }: Used,
  agentId: string,
  { hasKey, before = 0, isNext = false }: Waited,
): Promise<AgentStatus> {
  report({ type: 'working', text: 'waiting for the verifier to attest the agent' })
  const { timeoutSeconds } = options
  const good = await poll({ clock, timeoutSeconds, ...PAUSES }, async () => {
    const status = await verifier.agent(agentId)
    if (!status) throw new KeylimeError('agent_not_found', `agent ${agentId} was deleted from the verifier while waiting`)
    if (isGood(status, before) && (!isNext || (status.attestation_count ?? 0) > before)) return status
    throwWhenFailed(agentId, status)
    return undefined
  })
  if (good) {
    report({ type: 'attested', agentId, status: good, released: hasKey })
    return good
  }
  throw new KeylimeError('timeout', `no verdict on agent ${agentId} within ${timeoutSeconds} s`, {
    hint: `the verifier keeps trying; see \`keylime tenant status -u ${agentId}\`, or wait longer with --timeout`,
  })
}

/** Polls until the verifier knows the agent, as upstream's tenant does after `add`. */
export async function waitUntilKnown(
  { verifier, config }: Pick<TenantContext, 'verifier' | 'config'>,
  agentId: string,
): Promise<AgentStatus> {
  for (let attempt = 1; attempt <= Math.max(1, config.max_retries); attempt++) {
    const status = await verifier.agent(agentId)
    if (status) return status
    await sleep(RETRY_PAUSE_MS * attempt)
  }
  throw new KeylimeError('agent_not_found', `the verifier accepted agent ${agentId} but does not know it`)
}

/** A machine that is asked once more may never have answered since: then only a verdict that was not there before counts. */
export function isGood({ operational_state: state, attestation_count: count }: AgentStatus, before: number): boolean {
  return (state === GET_QUOTE && (count ?? 0) >= 1) || (state === GET_QUOTE_RETRY && (count ?? 0) > before)
}

export function throwWhenFailed(agentId: string, status: AgentStatus): void {
  const state = status.operational_state
  if (state !== FAILED && state !== INVALID_QUOTE && state !== TENANT_FAILED && state !== TERMINATED) return
  throw failureOf(agentId, status)
}

/** The error that says why the verifier does not trust an agent. */
export function failureOf(agentId: string, status: AgentStatus): KeylimeError {
  const event = status.last_event_id ?? ''
  const details = { agent_id: agentId, failures: status.failures ?? [], last_event_id: event }
  if (event.startsWith('internal.verifier.not_reachable') && status.comes_by === 'push') {
    return new KeylimeError('unreachable', `agent ${agentId} has brought no evidence for too long`, {
      hint: 'start the machine; the log of its agent says whether it reaches the verifier, and what the verifier answers',
      details,
    })
  }
  if (event.startsWith('internal.verifier.not_reachable')) {
    return new KeylimeError('unreachable', `the verifier cannot reach agent ${agentId}`, {
      hint: 'check contact_ip and contact_port of the agent and the firewall between them; --cv_targethost gives the address as the verifier sees it',
      details,
    })
  }
  return new KeylimeError('attestation_failed', `agent ${agentId} failed attestation:\n${failuresInShort(status)}`, {
    hint: `\`keylime tenant explain -u ${agentId}\` explains it; fix the machine or the policy, then \`keylime tenant update -u ${agentId} …\``,
    details,
  })
}
