import { SMALL_BODY } from '../../../../io/http/read-body.ts'
import type { Route } from '../../../../io/http/route.ts'
import type { PushContext } from '../push-context.ts'
import { giveMailbox } from './give-mailbox.ts'
import { negotiate } from './negotiate.ts'
import { openSession } from './open-session.ts'
import { proveSession } from './prove-session.ts'
import { releaseV } from './release-v.ts'
import { listAttestations, showAttestation } from './show-attestations.ts'
import { takeEvidence } from './take-evidence.ts'
import { waitForNews } from './wait-for-news.ts'

const SESSION_BODY = { maxBytes: 32 << 10 }

/** Every endpoint for machines that bring their evidence, with who may call it (protocol 8). */
export function pushRoutes(context: PushContext): Route[] {
  const { mode, maxQuoteSize } = context.settings
  const off = mode === 'pull' ? { off: 'this verifier asks its agents (mode = pull)' } : {}
  const common = { errors: 'json_api', ...off } as const
  const small = { ...common, access: 'agent', body: { ...SMALL_BODY, as: 'bytes' } } as const
  const evidence = { ...common, access: 'agent', body: { maxBytes: maxQuoteSize, as: 'bytes' } } as const
  return [
    { method: 'POST', path: '/v3.0/sessions', access: 'public', ...common, body: SESSION_BODY, handle: openSession(context) },
    { method: 'PATCH', path: '/v3.0/sessions/:session', access: 'public', ...common, body: SESSION_BODY, handle: proveSession(context) },
    { method: 'POST', path: '/v3.0/agents/:id/attestations', ...small, handle: negotiate(context) },
    { method: 'PATCH', path: '/v3.0/agents/:id/attestations/:index', ...evidence, handle: takeEvidence(context) },
    { method: 'POST', path: '/v3.0/agents/:id/wait', ...small, handle: waitForNews(context) },
    { method: 'GET', path: '/v3.0/agents/:id/delivery', access: 'agent', ...common, handle: giveMailbox(context) },
    { method: 'GET', path: '/v3.0/agents/:id/attestations/:index/delivery', access: 'agent', ...common, handle: releaseV(context) },
    { method: 'GET', path: '/v3.0/agents/:id/attestations', access: 'admin', ...common, handle: listAttestations(context) },
    { method: 'GET', path: '/v3.0/agents/:id/attestations/:index', access: 'admin', ...common, handle: showAttestation(context) },
  ]
}
