import type { RateLimit } from '../../../core/concurrency/rate-limiter.ts'
import type { Route } from '../../../io/http/route.ts'
import { activateAgent } from './activate-agent.ts'
import { deleteAgent } from './delete-agent.ts'
import { expectTpm, forgetExpected, listExpected } from './expected-tpms.ts'
import { listAgents } from './list-agents.ts'
import { registerAgent } from './register-agent.ts'
import type { RegistrarContext } from './registrar-context.ts'
import { forgetRevocation, listRevocations, revokeAgent } from './revocation-marks.ts'
import { showAgent } from './show-agent.ts'
import { showVersion } from './show-version.ts'
import { approveMachine, listWaiting, refuseMachine } from './waiting-machines.ts'

/** Keys and certificates, never a payload: upstream's limit of 100 MiB would only serve a flood. */
const REGISTRATION_BODY = { maxBytes: 512 << 10 }

/** A fleet behind one address starts at once: an agent that is told to wait tries again. */
const REGISTRATION_RATE: RateLimit = { ofPeer: { perSecond: 50, burst: 1000 }, ofAll: { perSecond: 200, burst: 4000 } }

/** Every endpoint of the registrar with who may call it (protocol 1.5, 2). Registration is public: what counts is the TPM's proof. */
export function registrarRoutes(context: RegistrarContext): Route[] {
  const register = registerAgent(context)
  const activate = activateAgent(context)
  const open = { access: 'public', plainHttp: true, fleet: true, rate: REGISTRATION_RATE } as const
  return [
    { method: 'GET', path: '/version', access: 'public', plainHttp: true, handle: showVersion },
    { method: 'GET', path: '/versions', access: 'public', plainHttp: true, handle: showVersion },
    { method: 'POST', path: '/v:version/agents', ...open, body: REGISTRATION_BODY, handle: register },
    { method: 'POST', path: '/v:version/agents/:id', ...open, body: REGISTRATION_BODY, handle: register },
    { method: 'PUT', path: '/v:version/agents/:id', ...open, handle: activate },
    { method: 'PUT', path: '/v:version/agents/:id/activate', ...open, handle: activate },
    { method: 'POST', path: '/v:version/agents/:id/activate', ...open, handle: activate },
    { method: 'GET', path: '/v:version/agents', access: 'admin', handle: listAgents(context) },
    { method: 'GET', path: '/v:version/agents/:id', access: 'reader', handle: showAgent(context) },
    { method: 'PUT', path: '/v:version/agents/:id/revoke', access: 'admin', handle: revokeAgent(context) },
    { method: 'DELETE', path: '/v:version/agents/:id/revocation', access: 'admin', handle: forgetRevocation(context) },
    { method: 'GET', path: '/v:version/revocations', access: 'admin', handle: listRevocations(context) },
    { method: 'GET', path: '/v:version/expected', access: 'admin', handle: listExpected(context) },
    { method: 'POST', path: '/v:version/expected', access: 'admin', handle: expectTpm(context) },
    { method: 'DELETE', path: '/v:version/expected/:name', access: 'admin', handle: forgetExpected(context) },
    { method: 'GET', path: '/v:version/waiting', access: 'admin', handle: listWaiting(context) },
    { method: 'PUT', path: '/v:version/agents/:id/approve', access: 'admin', handle: approveMachine(context) },
    { method: 'PUT', path: '/v:version/agents/:id/refuse', access: 'admin', handle: refuseMachine(context) },
    { method: 'DELETE', path: '/v:version/agents/:id', access: 'admin', handle: deleteAgent(context) },
  ]
}
