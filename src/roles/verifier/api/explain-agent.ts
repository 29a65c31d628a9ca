import type { AgentProgress, StoredState } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { explain } from '../../../core/explanation/explanation.ts'
import type { FailedRound } from '../../../core/explanation/failed-round.ts'
import type { Route } from '../../../io/http/route.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/agents/:id/explanation`, our own: the story of the last failed attestation; with `evidence=1` also what it was judged from. */
export function explainAgent({ judging, store }: Pick<VerifierContext, 'judging' | 'store'>): Route['handle'] {
  return async ({ params, query }) => {
    const record = await findRecord(store, params)
    if ('defect' in record) throw new KeylimeError('not_found', record.defect, { hint: `delete agent ${record.agentId} and add it again` })
    const { enrolment, progress, state } = record.agent
    const round = await store.failedRound(enrolment.agentId)
    if (!round) throw new KeylimeError('not_found', withoutStory(enrolment.agentId, state))
    const attestedSince = isLater(progress, round)
    const { evidence } = round
    if (query.get('evidence') !== '1' || !evidence) return { results: explain(enrolment.agentId, round, attestedSince) }
    const story = { agentId: enrolment.agentId, round: { ...round, evidence }, attestedSince }
    return { raw: { type: 'application/json', body: await judging.explainWithEvidence(story) } }
  }
}

/** Seconds alone are too coarse, and the count begins again with an update. */
const isLater = (
  { lastSuccessfulAttestation: seconds, attestationCount }: AgentProgress,
  { at, attestationCount: before }: FailedRound,
): boolean => seconds > 0 && (attestationCount > before || seconds * 1000 > at)

function withoutStory(agentId: string, { failures }: StoredState): string {
  const judged = failures.some(({ eventId }) => !eventId.startsWith('internal.'))
  if (judged) return `nothing was kept of the failure of agent ${agentId}: the log of the verifier says why`
  return `agent ${agentId} has failed no attestation since it was added`
}
