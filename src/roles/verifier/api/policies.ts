import { setImmediate as turn } from 'node:timers/promises'
import { z } from 'zod'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyDanger } from '../../../core/policy/policy-dangers.ts'
import { ownPolicyName, parsePolicyName } from '../../../core/policy/policy-name.ts'
import type { PolicyKind } from '../../../io/db/policy-store.ts'
import type { ApiReply, ApiRequest, Route } from '../../../io/http/route.ts'
import { operatorOf } from '../audit/operator-of.ts'
import type { Arriving } from '../policies/policy-book.ts'
import { jsonStringPieces } from './json-string-pieces.ts'
import { readUpload } from './read-upload.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'events' | 'judging' | 'policies' | 'policyStore' | 'takeUp'>

const runtimeBody = z.object({ runtime_policy: z.string(), runtime_policy_key: z.string().max(65_536).nullish() })
const mbBody = z.object({ mb_policy: z.string() })
const WHAT = { runtime: 'Runtime policy', mb: 'Measured boot policy' } as const

/** Named policies: `/allowlists` for runtime, `/mbpolicies` for measured boot, with upstream's names and codes (protocol 3.8). */
export function policyHandlers(used: Used, kind: PolicyKind): Record<'list' | 'show' | 'create' | 'update' | 'remove', Route['handle']> {
  const { events, policies, policyStore, takeUp } = used
  const what = WHAT[kind]
  const nameOf = (request: ApiRequest) => parsePolicyName(request.params['name']!)
  const missing = (name: string) => new KeylimeError('policy_not_found', `${what} ${name} not found`)

  return {
    list: async () => ({ results: { [kind === 'runtime' ? 'runtimepolicy names' : 'mbpolicy names']: await policyStore.list(kind) } }),
    async show(request) {
      const name = nameOf(request)
      const digest = (await policyStore.digestOf(kind, name)) ?? (await policyStore.digestOf(kind, ownPolicyName(name)))
      const body = digest === null ? null : await policyStore.body(digest)
      if (!body) throw missing(name)
      return { raw: { type: 'application/json', body: shown(kind, name, body) } }
    },
    async create(request) {
      const name = nameOf(request)
      if ((await policyStore.digestOf(kind, name)) !== null)
        throw new KeylimeError('already_exists', `${what} with name ${name} already exists`)
      const { after, dangers } = await policies.put(name, await arriving(used, kind, request), 'create')
      events.raise({ type: 'policy_created', kind, name, sha256: after, warnings: dangers.length, operator: operatorOf(request) })
      await takeUp.policyChanged(kind, name) // machines whose policy was missing can be attested now
      return created(dangers)
    },
    async update(request) {
      const name = nameOf(request)
      if ((await policyStore.digestOf(kind, name)) === null) throw unknown(kind, name)
      const { before, after, dangers } = await policies.put(name, await arriving(used, kind, request), 'replace')
      const agents = await takeUp.policyChanged(kind, name)
      const hashes = { sha256: after, previous_sha256: before ?? '' }
      events.raise({ type: 'policy_changed', kind, name, ...hashes, agents, warnings: dangers.length, operator: operatorOf(request) })
      return created(dangers)
    },
    async remove(request) {
      const name = nameOf(request)
      const sha256 = await policies.delete(kind, name)
      if (sha256 === null) throw missing(name)
      events.raise({ type: 'policy_deleted', kind, name, sha256, operator: operatorOf(request) })
      return { status: 204 }
    },
  }
}

const created = (dangers: readonly PolicyDanger[]): ApiReply => ({
  status: 201,
  ...(dangers.length > 0 ? { results: { warnings: dangers } } : {}),
})

function unknown(kind: PolicyKind, name: string): KeylimeError {
  if (kind === 'mb') return new KeylimeError('conflict', `${WHAT.mb} with name ${name} does not already exist`)
  return new KeylimeError('policy_not_found', `${WHAT.runtime} with name ${name} does not already exist, use POST to create`)
}

/** Printed piece by piece: a policy of many megabytes must not hold up the attestation of anybody. */
async function* shown(kind: PolicyKind, name: string, body: Buffer): AsyncGenerator<Buffer> {
  const member = kind === 'runtime' ? '"tmp_policy":null,"runtime_policy":' : '"mb_policy":'
  yield Buffer.from(`{"code":200,"status":"Success","results":{"name":${JSON.stringify(name)},${member}`)
  for (const piece of jsonStringPieces(body)) {
    yield piece
    await turn()
  }
  yield Buffer.from('}}')
}

async function arriving({ judging }: Used, kind: PolicyKind, { body }: ApiRequest): Promise<Arriving> {
  const what = 'the policy'
  if (kind === 'mb') {
    const upload = await readUpload(judging, mbBody, { body, what })
    return { kind, bytes: required(upload.text('mb_policy'), 'mb_policy'), key: null }
  }
  const upload = await readUpload(judging, runtimeBody, { body, what })
  const { runtime_policy_key: pem } = upload.message
  const key = pem ? Buffer.from(pem, 'base64').toString('utf8') : null
  return { kind, bytes: required(upload.text('runtime_policy'), 'runtime_policy'), encoding: 'base64', key }
}

function required(text: Buffer | undefined, member: string): Buffer {
  if (!text) throw new KeylimeError('invalid_request', `the policy is not valid: ${member}: must not be empty`)
  return text
}
