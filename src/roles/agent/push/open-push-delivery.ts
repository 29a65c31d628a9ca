import { systemClock } from '../../../io/clock.ts'
import type { VerifierClientOptions } from '../../../io/http/verifier-client.ts'
import { openVerifierClient } from '../../../io/http/verifier-client.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import type { AgentIdentity } from '../identity/open-identity.ts'
import type { TransportKey } from '../identity/transport-key.ts'
import { OperatorTrust } from '../machine/operator-trust.ts'
import { NO_OPERATORS, NO_OPERATORS_HINT, type Trust } from '../machine/trust.ts'
import type { PayloadReceiver } from '../payload/payload-receiver.ts'
import { SealedDeliveries } from '../payload/sealed-deliveries.ts'
import { DeliveryClient } from './delivery-client.ts'
import { PushDelivery } from './push-delivery.ts'

export interface PushDeliverySetup {
  readonly settings: AgentSettings
  readonly identity: AgentIdentity
  readonly transport: TransportKey
  readonly payloads: PayloadReceiver
  readonly trust: Trust
  readonly logger: Logger
  /** How the verifier is reached now. */
  reached(): VerifierClientOptions
  hurry(): void
}

/** A verifier answers within 20 s what it holds. */
const TIMEOUT_MS = 30_000

/** Takes payloads over the connections of an agent that brings its evidence. @returns also what takes in who is believed now. */
export function openPushDelivery(setup: PushDeliverySetup): { delivery: PushDelivery; trust(renewed: Trust): void } {
  const { settings, identity, trust, logger, payloads, reached, ...rest } = setup
  const { agentId, keys } = identity
  const operators = new OperatorTrust(trust.operators)
  if (!trust.operators) logger.warn(NO_OPERATORS, { hint: NO_OPERATORS_HINT })
  const file = settings.paths.acceptedOrder
  const sealed = new SealedDeliveries({ agentId, keys, file, clock: systemClock, trust: () => operators.current() })
  const connect = () => {
    const options = reached()
    return new DeliveryClient(
      openVerifierClient({ ...options, timeoutMs: TIMEOUT_MS, answerMs: options.wholeMs }),
      agentId,
      settings.maxPayloadBody,
    )
  }
  const delivery = new PushDelivery({ ...rest, agentId, sealed, payloads, clock: systemClock, logger, connect })
  payloads.watch((progress) => delivery.progressed(progress))
  return {
    delivery,
    trust(renewed) {
      operators.renew(renewed.operators)
      delivery.reconsider()
    },
  }
}
