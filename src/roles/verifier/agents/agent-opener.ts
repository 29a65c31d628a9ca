import { parseHost } from '../../../core/api/host.ts'
import { portNumber } from '../../../core/api/port-number.ts'
import { comesBy, type Enrolment, type StoredAgent } from '../../../core/attestation/stored-agent.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { Clock } from '../../../io/clock.ts'
import { type AgentClient, createAgentClient } from '../../../io/http/agent-client.ts'
import type { AgentConnection, ConnectionFigures } from '../../../io/http/agent-connection.ts'
import { type ClientContext, pinDates } from '../../../io/http/pinned-connector.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'
import type { ManagedAgent } from './managed-agent.ts'

/** Turns records into agents in memory. */
export interface AgentOpener {
  /** Opens no connection yet. @throws KeylimeError for an address, certificate or key that cannot be used. */
  open(stored: StoredAgent, policy: BookedPolicy): ManagedAgent
  /** Another connection to a machine, which the caller closes. @throws KeylimeError for an address or certificate that cannot be used. */
  connect(target: Pick<Enrolment, 'ip' | 'port' | 'mtlsCertificate'>, context?: ClientContext): AgentConnection
  readonly figures: Readonly<ConnectionFigures>
  close(): void
}

export interface AgentOpenerOptions {
  /** Client certificate for every agent. */
  context: ClientContext
  timeoutSeconds: number
  /** Bytes. */
  largestAnswer: number
  /** Connections that are kept. */
  maxConnections: number
  clock: Clock
  logger: Logger
}

export function createAgentOpener({
  context,
  timeoutSeconds,
  largestAnswer,
  maxConnections,
  clock,
  logger,
}: AgentOpenerOptions): AgentOpener {
  const client: AgentClient = createAgentClient({ context, timeoutSeconds, largestAnswer, maxConnections })
  const connect: AgentOpener['connect'] = ({ ip, port, mtlsCertificate: pin }, ...context) =>
    client.connect({ host: parseHost(ip, 'cloudagent_ip'), port: readPort(port), pin }, ...context)
  return {
    connect,
    figures: client.figures,
    open({ enrolment, state, progress, delivery = null }, policy) {
      const ak = parsePublicArea(Buffer.from(enrolment.ak, 'base64'))
      const dates = enrolment.mtlsCertificate === null ? undefined : pinDates(enrolment.mtlsCertificate, clock.now())
      if (dates?.level === 'error')
        logger.warn(`agent ${enrolment.agentId}: its TLS certificate ${dates.text}; it is pinned, and accepted anyway`)
      const connection = comesBy(enrolment) === 'push' ? null : connect(enrolment)
      const memory = {
        retries: 0,
        epoch: 0,
        busy: false,
        dueMs: null,
        changes: createSerialQueue(),
        partial: false,
        lastJudged: 0,
        evidenceStored: 0,
        unstored: null,
        introduced: false,
        told: undefined,
        follows: undefined,
        authorityRefusal: null,
        removed: false,
      }
      return { enrolment, ak, akName: ak.name.toString('hex'), connection, policy, state, progress, delivery, ...memory }
    },
    close: () => client.close(),
  }
}

/** Of a row that another program may have written. */
function readPort(port: number): number {
  const read = portNumber.safeParse(port)
  if (read.success) return read.data
  throw new KeylimeError('invalid_request', `cloudagent_port ${String(port).slice(0, 20)}: it is not a port number`, {
    hint: 'give a number from 0 to 65535',
  })
}
