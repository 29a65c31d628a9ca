import type { StoredState } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { explain } from '../../../core/explanation/explanation.ts'
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
    const attestedSince = progress.lastSuccessfulAttestation > 0 && progress.attestationCount > round.attestationCount
    const { evidence } = round
    if (query.get('evidence') !== '1' || !evidence) return { results: explain(enrolment.agentId, round, attestedSince) }
    const story = { agentId: enrolment.agentId, round: { ...round, evidence }, attestedSince }
    return { raw: { type: 'application/json', body: await judging.explainWithEvidence(story) } }
  }
}

function withoutStory(agentId: string, { failures }: StoredState): string {
  const judged = failures.some(({ eventId }) => !eventId.startsWith('internal.'))
  if (judged) return `nothing was kept of the failure of agent ${agentId}: the log of the verifier says why`
  return `agent ${agentId} has failed no attestation since it was added`
}
