import { type Envelope, readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import type { AgentEvent } from '../../../core/attestation/agent-state.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import type { MailboxStore } from '../../../io/db/mailbox-store.ts'
import { isTryAgain } from '../agents/agent-answers.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

/**
 * Brings V to an agent whose release is recorded on the disk (`prepareRelease`). It is encrypted to the transport key that the quote of this round bound. From here, and from
 * `offer-v.ts`, V leaves; from nowhere else.
 * @returns what came of it: `v_delivered`, `delivery_refused`, `unreachable` or `refused`; null when the machine has to fetch it.
 */
export type CarryV = (agent: ManagedAgent) => Promise<AgentEvent | null>

/** The pull model's way: a POST to the agent's own API (protocol 5.1). What lies in its mailbox goes first. */
export const postV =
  (mailboxes: Pick<MailboxStore, 'open'>): CarryV =>
  async (agent) => {
    const attestedBefore = agent.progress.attestationCount > 0
    const after = (answer: Envelope, what: string): AgentEvent => {
      const reason = `the agent answered ${what} with ${answer.code} ${answer.status}`.trim()
      return isTryAgain(answer.code) ? { type: 'unreachable', stage: 'v', attestedBefore, reason } : { type: 'refused', stage: 'v', reason }
    }
    try {
      const sealed = agent.delivery?.isKept ? await postMailbox(agent, mailboxes) : null
      if (sealed && sealed.code !== 200) return notTaken(after(sealed, 'the sealed key share'), sealed)
      const encrypted = encryptShare(agent.state.transportKey!, Buffer.from(agent.state.v!, 'base64'))
      const answer = await post(agent, 'keys/vkey', { encrypted_key: encrypted })
      return answer.code === 200 ? { type: 'v_delivered' } : after(answer, 'V')
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      if (error.code === 'malformed') return { type: 'refused', stage: 'v', reason: error.message }
      return { type: 'unreachable', stage: 'v', attestedBefore, reason: error.message }
    }
  }

const NO_MAILBOX =
  'this agent accepts no sealed key share: it is upstream’s, or an older one of ours; add it again without --sealed, or update the agent'

/** A slip of an operator's, his clock or his certificate, is no distrust of the machine, which is told to all. */
const notTaken = (event: AgentEvent, answer: Envelope): AgentEvent =>
  event.type === 'refused' ? { type: 'delivery_refused', reason: knowsNoMailbox(answer) ? NO_MAILBOX : event.reason } : event

/** Agents of upstream, and older ones of ours, say what they know instead (protocol 5.1). */
const knowsNoMailbox = ({ code, status }: Envelope): boolean => code === 404 || (code === 400 && status.startsWith('URI not supported'))

async function postMailbox(agent: ManagedAgent, mailboxes: Pick<MailboxStore, 'open'>): Promise<Envelope | null> {
  const mailbox = await mailboxes.open(agent.enrolment.agentId)
  if (!mailbox) return null
  const pieces: Buffer[] = []
  for await (const piece of mailbox.payload ?? []) pieces.push(piece)
  return post(agent, 'keys/sealed', { ...mailbox, payload: mailbox.payload && Buffer.concat(pieces).toString('utf8') })
}

async function post({ connection, state }: ManagedAgent, resource: string, body: object): Promise<Envelope> {
  const path = `/v${state.supportedVersion}/${resource}`
  return readEnvelope(await connection!.request({ method: 'POST', path, body, maxBytes: SHORT_ANSWER_BYTES }))
}
