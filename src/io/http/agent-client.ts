import { KeylimeError } from '../../core/errors.ts'
import type { AgentConnection, ConnectionFigures } from './agent-connection.ts'
import { createAnswerRoom } from './answer-room.ts'
import { BulkyConnections } from './bulky-connections.ts'
import { ConnectionBudget } from './connection-budget.ts'
import { KeptConnection, type PendingRequest } from './kept-connection.ts'
import type { ClientContext, PinnedTarget } from './pinned-connector.ts'

export interface AgentClientOptions {
  /** Client certificate shown to every agent; undefined for agents without TLS. */
  context: ClientContext | undefined
  /** Total time of one request, connection included. */
  timeoutSeconds: number
  /** Bytes: there is always room for one such answer. */
  largestAnswer: number
  /**
   * So many connections are kept, for as long as the agents keep them; beyond them one is closed after its answer. A time that is near the interval would be overrun whenever something holds
   * up the verifier, and then every connection be made anew, which holds it up even more.
   */
  maxConnections: number
}

/** Of all answers that are being read at the same time; more where one alone may have more. */
const ANSWER_ROOM_BYTES = 96 << 20
const SWEEP_MS = 1000

/** The verifier's only way to agents (decision 34): the seam behind which the transport can change. */
export interface AgentClient {
  /** @param context what this connection shows, in place of what all others do. */
  connect(target: PinnedTarget, context?: ClientContext): AgentConnection
  readonly figures: Readonly<ConnectionFigures>
  close(): void
}

/** Deadlines are swept once a second for all requests together: no timer per request. */
export function createAgentClient(options: AgentClientOptions): AgentClient {
  const pending = new Set<PendingRequest>()
  const figures = { open: 0, opened: 0, resumed: 0 }
  const budget = new ConnectionBudget(options.maxConnections)
  const room = createAnswerRoom(Math.max(ANSWER_ROOM_BYTES, options.largestAnswer))
  const bulky = new BulkyConnections()
  let swept = performance.now()
  const sweep = setInterval(() => {
    const now = performance.now()
    const passed = now - swept
    swept = now
    if (passed > 2 * SWEEP_MS) for (const request of pending) request.deadline += passed // it was held up: nobody read what came meanwhile
    for (const request of pending) if (request.deadline < now) request.cutOff(new KeylimeError('timeout', 'no answer in time'))
    bulky.sweep(now)
  }, SWEEP_MS)
  sweep.unref()
  return {
    connect: (target, context = options.context) =>
      new KeptConnection(target, { context, timeoutMs: options.timeoutSeconds * 1000 }, { pending, room, figures, budget, bulky }),
    figures,
    close: () => clearInterval(sweep),
  }
}
