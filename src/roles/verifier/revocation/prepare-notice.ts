import { createPrivateKey, type KeyObject } from 'node:crypto'
import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { revocationMessage } from '../../../core/revocation/message.ts'
import { signRevocation } from '../../../core/revocation/signature.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import { DEFAULT_SEVERITY, type JudgedFailure, judge } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { NewRevocation } from '../../../io/db/revocation-tables.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { NotifierKey } from './notifier-key.ts'

export interface Announced {
  type: NewRevocation['type']
  failure: Failure | JudgedFailure
  /** Besides receivers that are no agents. */
  toAgents: boolean
}

export interface NoticeOptions {
  /** The verifier's own. */
  key: Pick<NotifierKey, 'sign'>
  /** Receivers that are no agents, by their name. */
  senders: ReadonlyMap<string, unknown>
  clock: Pick<Clock, 'now'>
  logger: Logger
}

/** The signed message and whom to tell; null when that is nobody. */
export function prepareNotice(
  { key, senders, clock, logger }: NoticeOptions,
  enrolment: Enrolment,
  announced: Announced,
): NewRevocation | null {
  const { type, toAgents } = announced
  const targets = [...senders.keys()]
  if (targets.length === 0 && !toAgents) return null
  const createdAt = clock.now()
  const text = messageOf(enrolment, announced, new Date(createdAt))
  const verifierSignature = key.sign(text)
  const signature = signatureOf(enrolment, text, logger) || verifierSignature
  return { agentId: enrolment.agentId, type, text, signature, verifierSignature, createdAt, targets, toAgents }
}

function messageOf(enrolment: Enrolment, { type, failure }: Announced, eventTime: Date): string {
  const severityLabel = 'severityLabel' in failure ? failure.severityLabel : judge([failure], DEFAULT_SEVERITY).worst.severityLabel
  return revocationMessage({
    type,
    ip: enrolment.ip,
    agentId: enrolment.agentId,
    port: enrolment.port,
    tpmPolicy: enrolment.tpmPolicy,
    metaData: enrolment.metaData,
    eventTime,
    eventId: failure.eventId,
    severityLabel,
    context: JSON.stringify(failure.context),
  })
}

/** By the key that came with the certificate of the machine; empty without one. A key that cannot be used must not keep the failure itself from being stored. */
function signatureOf(enrolment: Enrolment, text: string, logger: Logger): string {
  if (enrolment.revocationKey === '') return ''
  try {
    const key: KeyObject = createPrivateKey(enrolment.revocationKey)
    return signRevocation(key, text)
  } catch (error) {
    logger.error(`agent ${enrolment.agentId}: its revocation is signed by the verifier alone: ${(error as Error).message}`)
    return ''
  }
}
