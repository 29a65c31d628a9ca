import { z } from 'zod'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyKind } from '../../../io/db/policy-store.ts'
import type { ApiRequest, Route } from '../../../io/http/route.ts'
import type { VerifierContext } from './verifier-context.ts'

const NAME = /^[\w.-]{1,255}$/
const runtimeBody = z.object({ runtime_policy: z.string().min(1, 'must not be empty'), runtime_policy_key: z.string().nullish() })
const mbBody = z.object({ mb_policy: z.string().min(1, 'must not be empty') })

/** Named policies: `/allowlists` for runtime, `/mbpolicies` for measured boot, with upstream's names and codes (protocol 3.8). */
export function policyHandlers(
  context: VerifierContext,
  kind: PolicyKind,
): Record<'list' | 'show' | 'create' | 'update' | 'remove', Route['handle']> {
  const what = kind === 'runtime' ? 'Runtime policy' : 'Measured boot policy'
  const find = async (request: ApiRequest) => {
    const name = request.params['name']!
    if (!NAME.test(name)) throw new KeylimeError('invalid_request', 'a policy name has 1 to 255 letters, digits, "_", "." or "-"')
    return { name, policy: await context.policies.find(kind, name) }
  }
  const missing = (name: string) => new KeylimeError('policy_not_found', `${what} ${name} not found`)
  const unknown = (name: string) =>
    kind === 'runtime'
      ? new KeylimeError('policy_not_found', `${what} with name ${name} does not already exist, use POST to create`)
      : new KeylimeError('conflict', `${what} with name ${name} does not already exist`)

  async function put(request: ApiRequest, name: string) {
    const { content, key } = contentOf(kind, request.body)
    const warnings = await context.policies.put(kind, name, content, key)
    for (const agent of context.agents.all()) {
      const used = kind === 'runtime' ? agent.enrolment.runtimePolicy : agent.enrolment.mbPolicy
      if (used === name) agent.policy = await context.policies.policyOf(agent.enrolment) // judged by it from the next quote on
    }
    return { status: 201, ...(warnings.length > 0 ? { results: { warnings } } : {}) }
  }

  return {
    list: async () => ({ results: { [kind === 'runtime' ? 'runtimepolicy names' : 'mbpolicy names']: await context.policies.list(kind) } }),
    async show(request) {
      const { name, policy } = await find(request)
      if (!policy) throw missing(name)
      return { results: kind === 'runtime' ? { name, tmp_policy: null, runtime_policy: policy.body } : { name, mb_policy: policy.body } }
    },
    async create(request) {
      const { name, policy } = await find(request)
      if (policy) throw new KeylimeError('already_exists', `${what} with name ${name} already exists`)
      return put(request, name)
    },
    async update(request) {
      const { name, policy } = await find(request)
      if (!policy) throw unknown(name)
      return put(request, name)
    },
    async remove(request) {
      const { name, policy } = await find(request)
      if (!policy) throw missing(name)
      const user = [...context.agents.all()].find(
        (agent) => (kind === 'runtime' ? agent.enrolment.runtimePolicy : agent.enrolment.mbPolicy) === name,
      )
      if (user) throw new KeylimeError('conflict', `${what} ${name} is used by agent ${user.enrolment.agentId}`)
      await context.policies.delete(kind, name)
      return { status: 204 }
    },
  }
}

function contentOf(kind: PolicyKind, body: unknown): { content: string; key: string | null } {
  if (kind === 'mb') return { content: parseMessage(mbBody, body, 'the policy').mb_policy, key: null }
  const { runtime_policy, runtime_policy_key } = parseMessage(runtimeBody, body, 'the policy')
  const decoded = (text: string) => Buffer.from(text, 'base64').toString('utf8')
  return { content: decoded(runtime_policy), key: runtime_policy_key ? decoded(runtime_policy_key) : null }
}
