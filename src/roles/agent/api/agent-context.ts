import type { BootLog } from '../../../io/files/boot-log.ts'
import type { ImaLog } from '../../../io/files/ima-log.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AkKind } from '../../../io/tpm/ak.ts'
import type { AttestationKeys } from '../../../io/tpm/attestation-keys.ts'
import type { FollowAuthority } from '../authorities/followed-authorities.ts'
import type { TransportKey } from '../identity/transport-key.ts'
import type { PayloadReceiver } from '../payload/payload-receiver.ts'
import type { SealedDeliveries } from '../payload/sealed-deliveries.ts'
import type { RevocationInbox } from '../revocation/revocation-inbox.ts'

/** What the handlers work with. */
export interface AgentContext {
  agentId: string
  apiVersions: readonly string[]
  ak: AkKind
  keys: AttestationKeys
  transport: TransportKey
  imaLog: ImaLog
  bootLog: BootLog
  systemdLog: BootLog
  /** Seconds since the epoch, or null when the kernel does not say. */
  bootTime: number | null
  payloads: PayloadReceiver
  sealed: SealedDeliveries
  /** U without the order of an operator is refused. */
  requireSigned: boolean
  inbox: RevocationInbox
  /** Null when the configuration forbids it, and without TLS. */
  followAuthority: FollowAuthority | null
  logger: Logger
}
