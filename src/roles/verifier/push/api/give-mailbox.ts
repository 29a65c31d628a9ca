import { StringDecoder } from 'node:string_decoder'
import { JSON_API_TYPE } from '../../../../core/api/push/json-api.ts'
import { KeylimeError } from '../../../../core/errors.ts'
import type { OpenMailbox } from '../../../../io/db/mailbox-store.ts'
import type { Route } from '../../../../io/http/route.ts'
import type { ManagedAgent } from '../../agents/managed-agent.ts'
import type { PushContext } from '../push-context.ts'
import { notAdmitted } from './admission.ts'
import { askedTooOften, refusal } from './json-api-reply.ts'

type Used = Pick<PushContext, 'agents' | 'mailboxes' | 'push'>

/**
 * `GET /v3.0/agents/:id/delivery`: what an operator sealed for this machine, useless without its TPM and V. A machine reads it once at a time: a second request ends the first, so that none can
 * have many large answers under way, and no more often than it may attest.
 */
export function giveMailbox({ agents, mailboxes, push }: Used): Route['handle'] {
  const reading = new WeakMap<ManagedAgent, object>()
  return async ({ params }) => {
    const agent = agents.get(params['id']!)
    const refused = notAdmitted(agent, push)
    if (refused || !agent) return refusal([refused!])
    const wait = push.pace.take(agent, 'mailbox')
    if (wait > 0) return askedTooOften(wait)
    const turn = {}
    reading.set(agent, turn)
    const mailbox = agent.delivery?.isKept ? await mailboxes.open(agent.enrolment.agentId) : null
    if (!mailbox || agent.removed)
      return refusal([
        { status: 404, code: 'not_found', detail: 'nothing waits here for this machine: nothing was ordered, or it already has it' },
      ])
    return { raw: { type: JSON_API_TYPE, body: documentPieces(mailbox, () => reading.get(agent) === turn && !agent.removed) } }
  }
}

/** The answer in pieces. @param counts whether it is still wanted. @throws KeylimeError `conflict` when it is not. */
async function* documentPieces({ payload, ...rest }: OpenMailbox, counts: () => boolean): AsyncGenerator<Buffer> {
  const whole = JSON.stringify({ jsonapi: { version: '1.1' }, data: { type: 'delivery', attributes: { ...rest, payload: null } } })
  if (!payload) return yield Buffer.from(whole)
  const end = 'null}}}'
  yield Buffer.from(`${whole.slice(0, -end.length)}"`)
  const decoder = new StringDecoder('utf8') // a character may lie over the end of a piece
  for await (const piece of payload) {
    if (!counts()) throw new KeylimeError('conflict', 'another request for this mailbox came, or it has gone')
    yield escaped(decoder.write(piece))
  }
  yield escaped(decoder.end())
  yield Buffer.from('"}}}')
}

const escaped = (text: string): Buffer => Buffer.from(JSON.stringify(text).slice(1, -1))
