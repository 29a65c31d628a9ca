import { KeylimeError } from '../../../core/errors.ts'

/** The verifier does not know this machine: not any more, or not under this id. */
export function notEnrolled(agentId: string): KeylimeError {
  return new KeylimeError('agent_not_found', `the verifier does not have agent ${agentId}`, {
    hint: `\`keylime tenant list\` shows all machines, \`keylime tenant history ${agentId}\` what happened to one that was deleted or revoked`,
  })
}
