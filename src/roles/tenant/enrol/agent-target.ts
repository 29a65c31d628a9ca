import { parseHost } from '../../../core/api/host.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { pinDates } from '../../../io/http/pinned-connector.ts'
import type { FoundAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'

const DEFAULT_AGENT_PORT = 9002

/** Which agent, and where and how it is spoken to. */
export interface AgentTarget {
  readonly found: FoundAgent
  /** Empty for a machine that brings its evidence, and has registered no address. */
  readonly host: string
  readonly port: number
  /** The certificate to which the connection is pinned, PEM; null for plain HTTP, and for a machine that is not contacted. */
  readonly pin: string | null
}

type Used = Pick<TenantContext, 'options' | 'config' | 'clock' | 'report'>

/** What was asked for counts before what is registered. @throws KeylimeError `usage` without an address, `refused` for an agent without TLS unless that is allowed. */
export function agentTarget(used: Used, found: FoundAgent): AgentTarget {
  const { options } = used
  const { registered } = found
  const host =
    options.targetHost || (registered.ip ? parseHost(registered.ip, `the address of agent ${found.agentId} at the registrar,`) : '')
  const port = options.targetPort ?? registered.port ?? DEFAULT_AGENT_PORT
  if (options.pushModel) return { found, host, port, pin: null }
  if (!host) {
    throw new KeylimeError('usage', `the registrar has no address for agent ${found.agentId}`, {
      hint: 'if the machine brings its evidence itself, add --push-model; otherwise give the address with -t, or set contact_ip in its agent.conf',
    })
  }
  return { found, host, port, pin: pinOf(used, found) }
}

function pinOf({ config, clock, report }: Used, { agentId, registered }: FoundAgent): string | null {
  const certificate = registered.mtls_cert
  if (certificate && certificate !== 'disabled') {
    const dates = pinDates(certificate, clock.now())
    if (dates?.level === 'error')
      report({ type: 'warning', text: `the TLS certificate of agent ${agentId} ${dates.text}: restart the agent, which makes another one` })
    return certificate
  }
  if (config.enable_agent_mtls) {
    throw new KeylimeError('refused', `agent ${agentId} has no certificate for mutual TLS`, {
      hint: 'set enable_agent_mtls = true in its agent.conf (or, only for tests, enable_agent_mtls = False in tenant.conf)',
    })
  }
  report({ type: 'warning', text: `agent ${agentId} has a connection without TLS` })
  return null
}
