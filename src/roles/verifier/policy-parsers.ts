import type { ImaPolicy } from '../../core/attestation/evidence-policy.ts'
import { KeylimeError } from '../../core/errors.ts'

/** Members of a runtime policy that demand something of the IMA log. */
const DEMANDS = ['digests', 'excludes', 'keyrings', 'ima-buf'] as const

/**
 * The judge of a runtime policy; null for the empty policy, which upstream's tenant stores for agents without one and which demands nothing.
 * @throws KeylimeError `invalid_request`: a policy that this verifier cannot judge by is refused, never accepted and ignored.
 */
export function parseImaPolicy(body: string): ImaPolicy | null {
  const policy = jsonObject(body, 'runtime policy')
  const demands = DEMANDS.some((key) => Object.keys((policy[key] as object | undefined) ?? {}).length > 0)
  if (!demands && Object.keys(policy).length > 0) return null
  if (Object.keys(policy).length === 0) return null
  throw new KeylimeError('invalid_request', 'this verifier cannot judge by runtime policies yet: the agent was not added', {
    hint: 'leave --runtime-policy out, and use --tpm_policy for static PCRs',
  })
}

function jsonObject(text: string, what: string): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', `the ${what} is not valid JSON`, { cause })
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new KeylimeError('invalid_request', `the ${what} is not a JSON object`)
  return json as Record<string, unknown>
}
