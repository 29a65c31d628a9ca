import type { AgentPolicy, BootPolicy, ImaPolicy } from '../../core/attestation/evidence-policy.ts'
import type { Enrolment } from '../../core/attestation/stored-agent.ts'
import { parseTpmPolicy } from '../../core/attestation/tpm-policy.ts'
import { KeylimeError } from '../../core/errors.ts'
import { type BootPolicyName, parseBootPolicy } from '../../core/measured-boot/boot-policy.ts'
import type { PolicyKind, PolicyStore, StoredPolicy } from '../../io/db/policy-store.ts'
import { checkSignature, parseImaPolicy, type RuntimePolicyRules } from './policy-parsers.ts'

/** Stored policies, each parsed once whatever the number of its agents and names. */
export interface PolicyBook {
  find(kind: PolicyKind, name: string): Promise<StoredPolicy | null>
  list(kind: PolicyKind): Promise<string[]>
  /** Verifies (with `key`, if the policy is signed) and parses before it stores: what cannot be judged by is refused. @throws KeylimeError. */
  put(kind: PolicyKind, name: string, body: string, key?: string | null): Promise<void>
  delete(kind: PolicyKind, name: string): Promise<boolean>
  /** All that an agent must meet. @throws KeylimeError `policy_not_found`. */
  policyOf(enrolment: Enrolment): Promise<AgentPolicy>
}

/** @param bootPolicy `measured_boot_policy_name`: one for the whole verifier, as upstream. */
export function createPolicyBook(store: PolicyStore, bootPolicy: BootPolicyName, rules: RuntimePolicyRules): PolicyBook {
  const parsed = { runtime: new Map<string, ImaPolicy | null>(), mb: new Map<string, BootPolicy | null>() }

  function parse<K extends PolicyKind>(kind: K, body: string, digest: string | null) {
    const cache = parsed[kind] as Map<string, ImaPolicy | BootPolicy | null>
    if (digest !== null && cache.has(digest)) return cache.get(digest)!
    const policy = kind === 'runtime' ? parseImaPolicy(body, rules) : parseBootPolicy(body, bootPolicy)
    if (digest !== null) cache.set(digest, policy)
    return policy
  }

  async function named(kind: PolicyKind, name: string | null) {
    if (name === null) return null
    const stored = await store.find(kind, name)
    if (!stored)
      throw new KeylimeError('policy_not_found', `there is no ${kind === 'runtime' ? 'runtime' : 'measured boot'} policy named ${name}`)
    return parse(kind, stored.body, stored.digest)
  }

  return {
    find: (kind, name) => store.find(kind, name),
    list: (kind) => store.list(kind),
    async put(kind, name, body, key = null) {
      if (kind === 'runtime') checkSignature(body, key, rules)
      const policy = parse(kind, body, null)
      const { digest } = await store.put(kind, name, body)
      ;(parsed[kind] as Map<string, unknown>).set(digest, policy)
    },
    delete: (kind, name) => store.delete(kind, name),
    async policyOf(enrolment) {
      return {
        tpm: parseTpmPolicy(enrolment.tpmPolicy),
        ima: (await named('runtime', enrolment.runtimePolicy)) as ImaPolicy | null,
        boot: (await named('mb', enrolment.mbPolicy)) as BootPolicy | null,
      }
    },
  }
}
