import type { Route } from '../../../io/http/route.ts'
import { pushRoutes } from '../push/api/push-routes.ts'
import { attestAgent } from './attest-agent.ts'
import { checkEnrolment } from './check-enrolment.ts'
import { deleteAgent } from './delete-agent.ts'
import { enrolAgent } from './enrol-agent.ts'
import { explainAgent } from './explain-agent.ts'
import { listAgents } from './list-agents.ts'
import { listRevocations } from './list-revocations.ts'
import { policyHandlers } from './policies.ts'
import { reactivateAgent } from './reactivate-agent.ts'
import { revokeAgent } from './revoke-agent.ts'
import { showAgent } from './show-agent.ts'
import { showAuthorities } from './show-authorities.ts'
import { showHistory } from './show-history.ts'
import { showVersion } from './show-version.ts'
import { stopAgent } from './stop-agent.ts'
import { updateAgent } from './update-agent.ts'
import type { VerifierContext } from './verifier-context.ts'
import { verifyEvidenceOnce } from './verify-evidence.ts'
import { verifyIdentity } from './verify-identity.ts'

/** Of what anybody may send: logs of a machine, but no flood. */
export const MAX_EVIDENCE_BODY = 16 << 20

/** Every endpoint of the verifier with who may call it (protocol 1.5, 3.8, 4). */
export function verifierRoutes(context: VerifierContext): Route[] {
  const { maxUploadSize, verify } = context.settings
  const upload = { body: { maxBytes: maxUploadSize, as: 'bytes' } } as const
  const off = (name: string, isOn: boolean) => (isOn ? {} : { off: `${name} is switched off here (enable_${name.replace('/', '_')})` })
  const runtime = policyHandlers(context, 'runtime')
  const mb = policyHandlers(context, 'mb')
  return [
    { method: 'GET', path: '/version', access: 'public', handle: showVersion },
    { method: 'GET', path: '/versions', access: 'public', handle: showVersion },
    { method: 'GET', path: '/v:version/agents', access: 'admin', handle: listAgents(context) },
    { method: 'GET', path: '/v:version/agents/:id', access: 'admin', handle: showAgent(context) },
    { method: 'POST', path: '/v:version/agents/:id', access: 'admin', ...upload, handle: enrolAgent(context) },
    { method: 'PUT', path: '/v:version/agents/:id', access: 'admin', ...upload, handle: updateAgent(context) },
    { method: 'DELETE', path: '/v:version/agents/:id', access: 'admin', handle: deleteAgent(context) },
    { method: 'GET', path: '/v:version/agents/:id/explanation', access: 'admin', handle: explainAgent(context) },
    { method: 'PUT', path: '/v:version/agents/:id/reactivate', access: 'admin', handle: reactivateAgent(context) },
    { method: 'PUT', path: '/v:version/agents/:id/attest', access: 'admin', handle: attestAgent(context) },
    { method: 'PUT', path: '/v:version/agents/:id/revoke', access: 'admin', handle: revokeAgent(context) },
    { method: 'PUT', path: '/v:version/agents/:id/stop', access: 'admin', handle: stopAgent(context) },
    { method: 'POST', path: '/v:version/enrolments/:id/check', access: 'admin', ...upload, handle: checkEnrolment(context) },
    { method: 'GET', path: '/v:version/allowlists', access: 'admin', handle: runtime.list },
    { method: 'GET', path: '/v:version/allowlists/:name', access: 'admin', handle: runtime.show },
    { method: 'POST', path: '/v:version/allowlists/:name', access: 'admin', ...upload, handle: runtime.create },
    { method: 'PUT', path: '/v:version/allowlists/:name', access: 'admin', ...upload, handle: runtime.update },
    { method: 'DELETE', path: '/v:version/allowlists/:name', access: 'admin', handle: runtime.remove },
    { method: 'GET', path: '/v:version/mbpolicies', access: 'admin', handle: mb.list },
    { method: 'GET', path: '/v:version/mbpolicies/:name', access: 'admin', handle: mb.show },
    { method: 'POST', path: '/v:version/mbpolicies/:name', access: 'admin', ...upload, handle: mb.create },
    { method: 'PUT', path: '/v:version/mbpolicies/:name', access: 'admin', ...upload, handle: mb.update },
    { method: 'DELETE', path: '/v:version/mbpolicies/:name', access: 'admin', handle: mb.remove },
    { method: 'GET', path: '/v:version/authorities', access: 'admin', handle: showAuthorities(context) },
    { method: 'GET', path: '/v:version/history', access: 'admin', handle: showHistory(context) },
    { method: 'GET', path: '/v:version/revocations', access: 'admin', handle: listRevocations(context) },
    {
      method: 'GET',
      path: '/v:version/verify/identity',
      access: 'public',
      rate: verify.rate,
      ...off('verify/identity', verify.identity),
      handle: verifyIdentity(context),
    },
    {
      method: 'POST',
      path: '/v:version/verify/evidence',
      access: 'public',
      rate: verify.rate,
      ...off('verify/evidence', verify.evidence),
      body: { maxBytes: MAX_EVIDENCE_BODY, as: 'bytes' },
      handle: verifyEvidenceOnce(context),
    },
    ...pushRoutes(context),
  ]
}
