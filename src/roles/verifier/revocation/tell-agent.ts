import { createHash } from 'node:crypto'
import { type Envelope, readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import { type NoticeOutcome, type NotifierIntroduction, noticeOutcome } from '../../../core/api/notice.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import { isTryAgain } from '../agents/agent-answers.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

/** A notice as it goes out: what upstream's receivers read, and the verifier's own signature where that is another. */
export interface NoticeEnvelope {
  msg: string
  signature: string
  verifier_signature?: string
}

export const envelopeOf = ({ text, signature, verifierSignature }: StoredRevocation): NoticeEnvelope => ({
  msg: text,
  signature,
  ...(verifierSignature !== '' && verifierSignature !== signature ? { verifier_signature: verifierSignature } : {}),
})

/**
 * Introduces the notifier key to an agent, once a connection, over mutual TLS: agents of ours keep it, others answer that they know no such thing.
 * @throws KeylimeError when the agent does not answer; nothing is lost, it is introduced before the next notice.
 */
export async function introduceNotifier(agent: ManagedAgent, certificate: string): Promise<void> {
  if (agent.introduced) return
  const body: NotifierIntroduction = { certificate }
  const { code } = await ask(agent, { method: 'POST', path: '/notifications/notifier', body })
  if (!isTryAgain(code)) agent.introduced = true
}

/** Brings a notice. @returns what the agent says became of it; null for one that does not say. @throws when it was not taken. */
export async function tellAgent(agent: ManagedAgent, revocation: StoredRevocation): Promise<NoticeOutcome | null> {
  const { code, status, results } = await ask(agent, {
    method: 'POST',
    path: '/notifications/revocation',
    body: envelopeOf(revocation),
  })
  if (code !== 200) throw new Error(`it answered ${code} ${status}`.trim())
  return noticeOutcome.safeParse(results).data ?? null
}

/** What became of a notice that was taken. @returns null for an agent that does not say. @throws KeylimeError when it does not answer. */
export async function askOutcome(agent: ManagedAgent, { text }: StoredRevocation): Promise<NoticeOutcome | null> {
  const digest = createHash('sha256').update(text, 'utf8').digest('hex')
  const { results } = await ask(agent, { method: 'GET', path: `/notifications/revocation?digest=${digest}` })
  return noticeOutcome.safeParse(results).data ?? null
}

async function ask(agent: ManagedAgent, request: { method: 'GET' | 'POST'; path: string; body?: unknown }): Promise<Envelope> {
  if (!agent.connection) throw new KeylimeError('unreachable', 'it brings its evidence by itself, and cannot be asked')
  const path = `/v${agent.state.supportedVersion}${request.path}`
  return readEnvelope(await agent.connection.request({ ...request, path, maxBytes: SHORT_ANSWER_BYTES }))
}
