import type { Operator, RefusedPeer, VerifierEvent } from './verifier-event.ts'

/** An event in one sentence. Texts in it come from outside: whoever prints it makes them fit for a line. */
export function eventText(event: VerifierEvent): string {
  const text = sentence(event)
  const suppressed = 'suppressed' in event ? (event.suppressed ?? 0) : 0
  return suppressed > 0 ? `${text} (${suppressed} more like it are not shown)` : text
}

function sentence(event: VerifierEvent): string {
  if (event.type.startsWith('policy_')) return policySentence(event as PolicyEvent)
  if (event.type === 'delivery_ordered') return orderedSentence(event)
  if ('operator' in event && 'agent_id' in event) return commandSentence(event)
  switch (event.type) {
    case 'verifier_started':
      return `verifier serves on ${event.address}`
    case 'verifier_stopped':
      return 'verifier stopped'
    case 'database_migrated':
      return `the database was updated from version ${event.from_version} to ${event.to_version}`
    case 'database_put_back':
      return putBackSentence(event)
    case 'database_restored':
      return `the database was replaced with a backup of ${event.taken_at}, of verifier ${event.verifier_id}: ${event.agents} agents; keys withheld: ${event.withheld}`
    case 'request_refused':
      return `${event.method} ${event.route} was refused to ${peerText(event.peer)}: ${event.why}`
    case 'attestations_late':
      return `attestations are ${event.late_seconds} s late: every interval is longer by that much`
    case 'attestations_in_time':
      return `attestations are on time again; they were up to ${event.longest_seconds} s late`
    case 'agents_unreachable':
      return silenceSentence(event)
    case 'judging_budget_exceeded':
      return `${event.job} for ${event.agent_id === null ? 'a public request' : `agent ${event.agent_id}`} ${event.budget_ms > 0 ? `took longer than ${event.budget_ms} ms` : 'needed more memory than it may'} and was ended`
    default:
      return agentSentence(event as AgentEvent)
  }
}

function silenceSentence({ machines, agent_ids }: Extract<VerifierEvent, { type: 'agents_unreachable' }>): string {
  const more = machines > agent_ids.length ? ` and ${machines - agent_ids.length} more` : ''
  return `${machines} machines fell silent at about the same time (${agent_ids.join(', ')}${more}): look at the network and at this verifier first; the other agents are not told of each`
}

function putBackSentence({
  found,
  missing,
  last_change,
  expected_change,
  withheld,
}: Extract<VerifierEvent, { type: 'database_put_back' }>): string {
  const of = last_change === '' ? 'without a change' : `of ${last_change}`
  const what = {
    older: `the database is an older one (${of}): it lacks ${missing === 1 ? 'a change' : `${missing} changes`} made until ${expected_change}`,
    other: `the database (${of}) is not the one that was here before`,
    unknown: `the database (${of}) has no mark beside it, so that it may be an older one`,
  }[found]
  return `${what}; keys withheld: ${withheld}`
}

type OrderedEvent = Extract<VerifierEvent, { type: 'delivery_ordered' }>
type CommandEvent = Exclude<Extract<VerifierEvent, { operator: unknown; agent_id: unknown }>, OrderedEvent>
type PolicyEvent = Extract<VerifierEvent, { type: `policy_${string}` }>
type AgentEvent = Exclude<Extract<VerifierEvent, { agent_id: string }>, CommandEvent | OrderedEvent>

const COMMANDS: Record<CommandEvent['type'], string> = {
  agent_enrolled: 'added',
  agent_updated: 'updated',
  agent_deleted: 'deleted',
  agent_revoked: 'revoked',
  agent_stopped: 'stopped',
  agent_reactivated: 'reactivated',
  attestation_asked: 'asked to attest at once',
}

function commandSentence(event: CommandEvent): string {
  const where = 'address' in event ? ` at ${event.address}` : ''
  return `agent ${event.agent_id}${where} was ${COMMANDS[event.type]} by ${operatorText(event.operator)}`
}

function orderedSentence({ agent_id, enrolment, operator, payload_bytes: bytes, signer }: OrderedEvent): string {
  const what = bytes === null ? 'a key' : `a payload of ${bytes} bytes`
  return `agent ${agent_id}: ${what} is in its mailbox (delivery ${enrolment}), signed by "${signer}", brought by ${operatorText(operator)}`
}

function policySentence(event: PolicyEvent): string {
  const what = event.kind === 'runtime' ? 'runtime policy' : 'measured boot policy'
  return `${what} ${event.name} was ${event.type.slice('policy_'.length)} by ${operatorText(event.operator)}`
}

function agentSentence(event: AgentEvent): string {
  const agent = `agent ${event.agent_id}`
  switch (event.type) {
    case 'agent_not_taken_up':
      return `${agent} cannot be taken up and is not attested: ${event.reason}`
    case 'agent_attested':
      return `${agent} is attested`
    case 'agent_recovered':
      return `${agent} is attested again after ${event.after}`
    case 'agent_failed':
      return `${agent} failed attestation: ${failuresText(event)}`
    case 'agent_unreachable':
      return `${agent} cannot be reached${event.stage === 'v' ? ' to give it V' : ''}: ${event.reason}`
    case 'agent_back':
      return `${agent} answers again and is attested`
    case 'agent_address_followed':
      return `${agent} is asked at ${event.to} from now on, not at ${event.from}: it has registered there and proved itself`
    case 'v_released':
      return `${agent}: V is released to it${event.again ? ' once more' : ''}`
    case 'v_withheld':
      return `${agent}: V is withheld and erased, because it may have been released before`
    case 'v_delivered':
      return `${agent} has confirmed V`
    case 'delivery_dropped':
      return `${agent}: what waited for it is erased${event.enrolment === '' ? '' : ` (delivery ${event.enrolment})`}, because it is enrolled with another attestation key now`
    case 'delivery_refused':
      return `${agent} refuses delivery ${event.enrolment}: ${event.reason || 'it does not say why'}`
    case 'delivery_ended':
      return `${agent}: delivery ${event.enrolment} has ended, ${event.state.replaceAll('_', ' ')}, files: ${event.files}, script: ${event.script}${event.reason === '' ? '' : `: ${event.reason}`}`
    case 'revocation_announced':
      return `${agent}: ${event.kind} is announced, receivers: ${event.targets}`
    case 'revocation_told':
      return `${event.target} was told of agent ${event.agent_id}`
    case 'revocation_acted':
      return `${event.target} acted upon the notice of agent ${event.agent_id}`
    case 'revocation_failed':
      return `${event.target} accepted the notice of agent ${event.agent_id}, but could not act on all of it: ${event.reason}`
    case 'revocation_refused':
      return `${event.target} refused the notice of agent ${event.agent_id}: ${event.reason}`
    case 'revocation_given_up':
      return `${event.target} could not be told of agent ${event.agent_id} and is given up: ${event.reason}`
  }
}

function failuresText({ failures, failure_count }: Extract<VerifierEvent, { type: 'agent_failed' }>): string {
  const [first] = failures
  const more = failure_count > 1 ? ` and ${failure_count - 1} more` : ''
  return first ? `${first.event_id}: ${first.message}${more}` : 'without a reason'
}

const operatorText = ({ common_name, address }: Operator) => `${common_name} (${address})`

function peerText({ kind, common_name, address }: RefusedPeer): string {
  if (kind === 'certificate' || kind === 'refused') return `${common_name ?? 'a certificate without a name'} (${address})`
  return kind === 'untrusted' ? `a certificate of no trusted CA (${address})` : `someone without a certificate (${address})`
}
