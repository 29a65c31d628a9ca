import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { isOperationalState, stateText } from '../../../core/attestation/operational-state.ts'
import { pythonJson } from '../../../core/python/python-json.ts'
import { pythonRepr } from '../../../core/python/python-text.ts'
import type { PythonLogger } from '../../../io/log/python-logger.ts'
import type { TenantEvent } from '../events.ts'

export interface UpstreamOutput {
  readonly log: PythonLogger
  print(text: string): void
  /** `127.0.0.1:8881` */
  readonly verifier: string
}

/** Events in upstream's words. */
export function upstreamReport({ log, print, verifier }: UpstreamOutput): (event: TenantEvent) => void {
  let agentAddress = ''
  return (event) => {
    switch (event.type) {
      case 'warning':
        return log('WARNING', event.text)
      case 'agent_found':
        agentAddress = `${event.host}:${event.port}`
        return undefined
      case 'quote_verified':
        print(pythonRepr({ code: 200, status: 'Success', results: event.reply }))
        return log('INFO', `Quote from Agent ${event.agentId} (${event.host}:${event.port}) validated`)
      case 'ek_unchecked':
        return log(
          'WARNING',
          'DANGER: EK cert checking is disabled and no additional checks on EKs have been specified with ek_check_script option. Keylime is not secure!!',
        )
      case 'ek_script_passed':
        return log('DEBUG', `ek_check script result: ${event.output}`)
      case 'enrolled_status':
        return log('INFO', `Agent Info from Verifier (${verifier}):\n${agentInfo(event.agentId, event.status)}`)
      case 'enrolled':
        return log('INFO', `Agent ${event.agentId} (${agentAddress}) added to Verifier (${verifier}) after ${event.tries - 1} tries`)
      case 'key_proved':
        return log('INFO', `Successful key derivation for Agent ${event.agentId} (${agentAddress})`)
      default:
        return undefined
    }
  }
}

/** `{"<id>": {…}}` with the state in words, as upstream's tenant prints it. The key share is never in it. */
export function agentInfo(agentId: string, status: AgentStatus): string {
  return pythonJson({ [agentId]: withStateText(status) })
}

export function withStateText(status: AgentStatus): Record<string, unknown> {
  const state = status.operational_state
  return { ...status, operational_state: isOperationalState(state) ? stateText(state) : state, v: null }
}
