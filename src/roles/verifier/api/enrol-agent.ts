import { parseAgentId } from '../../../core/api/agent-id.ts'
import { enrolmentRequest } from '../../../core/api/verifier.ts'
import { causeChain, KeylimeError } from '../../../core/errors.ts'
import { enrolmentEvent } from '../../../core/events/enrolment-event.ts'
import { askedTogether } from '../../../io/db/asked-together.ts'
import type { UsedPolicies } from '../../../io/db/enrolment-change.ts'
import type { Route } from '../../../io/http/route.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import { operatorOf } from '../audit/operator-of.ts'
import { continueFrom, type EnrolmentParts, orderedEvents, prepareEnrolment } from './prepare-enrolment.ts'
import { readUpload } from './read-upload.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = EnrolmentParts & Pick<VerifierContext, 'agents' | 'commands' | 'events' | 'judging' | 'logger' | 'loop' | 'notifier' | 'store'>

/** `POST /v2.x/agents/:id`: everything is checked and opened, then stored in one transaction, then it is asked for its first quote (protocol 3.6). */
export function enrolAgent(context: Used): Route['handle'] {
  const { agents, commands, events, judging, loop, mailboxes, policies, policyStore, store } = context
  const adopt = adopting(context)
  return async (request) => {
    const agentId = parseAgentId(request.params['id']!)
    const upload = await readUpload(judging, enrolmentRequest, { body: request.body, what: 'the enrolment' })
    return commands.take(agentId, async () => {
      if (agents.get(agentId) && (await store.find(agentId))) throw alreadyThere(agentId)
      const prepared = await prepareEnrolment(context, { agentId, upload, before: null }).catch(async (error) => {
        throw (await store.find(agentId)) ? alreadyThere(agentId) : error // one that nobody attests, or another verifier
      })
      const { agent, dangers } = prepared
      const operator = operatorOf(request)
      const told = () => [
        enrolmentEvent('agent_enrolled', { agent, refs: agent.policy.refs, warnings: dangers.length, operator }),
        ...orderedEvents(prepared, operator),
      ]
      let used: UsedPolicies | null
      try {
        used = await policyStore.withBodies(prepared.bodies, () =>
          mailboxes.withStaged(prepared.ordered?.mailbox ?? null, (mailbox) =>
            store.insert({ ...continueFrom(prepared, { request: upload.message, mailbox }, null), events: told() }),
          ),
        )
      } catch (error) {
        agent.connection?.close()
        await policies.forgetUnused()
        throw error
      }
      agents.add(agent)
      // A policy that was updated meanwhile is found here, or by who updates it, whose turn with this agent is next: the agent is in the table now.
      if (!isJudgedBy(agent, used)) agent.policy = await policies.policyOf(agent.enrolment).catch(() => agent.policy)
      loop.beginNew(agent)
      events.raise(...told())
      void adopt(agentId)
      return dangers.length > 0 ? { results: { warnings: dangers } } : {}
    })
  }
}

/** One that was deleted is told now what it was not told before, where nobody has given up on that yet. Behind the answer, and for many at once. */
const adopting = ({ notifier, logger }: Pick<Used, 'notifier' | 'logger'>) =>
  askedTogether<string, void>(async (agentIds) => {
    await notifier.adopt({ agents: new Set(agentIds), others: false }).catch((error) => {
      logger.error(`what agents were to be told before they were enrolled again is not known: ${causeChain(error).join(': ')}`)
    })
    return agentIds.map(() => undefined)
  })

const isJudgedBy = ({ policy: { refs } }: ManagedAgent, used: UsedPolicies | null): boolean =>
  used !== null && used.runtime === (refs.runtime?.sha256 ?? null) && used.mb === (refs.mb?.sha256 ?? null)

const alreadyThere = (agentId: string) =>
  new KeylimeError('already_exists', `Agent of uuid ${agentId} already exists`, { hint: 'use "keylime tenant update", or delete it first' })
