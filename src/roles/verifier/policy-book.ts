import type { AgentPolicy, BootPolicy } from '../../core/attestation/evidence-policy.ts'
import type { Enrolment } from '../../core/attestation/stored-agent.ts'
import { parseTpmPolicy } from '../../core/attestation/tpm-policy.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { PolicyRef } from '../../core/explanation/failed-round.ts'
import { parseStoredPolicy, type StoredImaPolicy, withKeys } from '../../core/ima/stored-policy.ts'
import { type BootPolicyName, parseBootPolicy } from '../../core/measured-boot/boot-policy.ts'
import type { PolicyKind, PolicyStore, StoredPolicy } from '../../io/db/policy-store.ts'
import { checkSignature, imaJudging, type RuntimePolicyRules } from './runtime-policy-rules.ts'

/** All that one machine must meet, and which stored policies that is. */
export interface BookedPolicy extends AgentPolicy {
  refs: { runtime: PolicyRef | null; mb: PolicyRef | null }
}

/** Stored policies, each parsed once whatever the number of its agents and names. */
export interface PolicyBook {
  find(kind: PolicyKind, name: string): Promise<StoredPolicy | null>
  list(kind: PolicyKind): Promise<string[]>
  /** Verifies (with `key`, if the policy is signed) and parses before it stores: what cannot be judged by is refused. @throws KeylimeError. */
  put(kind: PolicyKind, name: string, body: string, key?: string | null): Promise<void>
  delete(kind: PolicyKind, name: string): Promise<boolean>
  /** All that an agent must meet. @throws KeylimeError `policy_not_found`. */
  policyOf(enrolment: Enrolment): Promise<BookedPolicy>
}

interface Named<T> {
  policy: T | null
  ref: PolicyRef | null
}

/** @param bootPolicy `measured_boot_policy_name`: one for the whole verifier, as upstream. */
export function createPolicyBook(store: PolicyStore, bootPolicy: BootPolicyName, rules: RuntimePolicyRules): PolicyBook {
  const judging = imaJudging(rules)
  const parsers = {
    runtime: (body: string) => parseStoredPolicy(body, judging),
    mb: (body: string) => parseBootPolicy(body, bootPolicy),
  }
  const runtime = new Map<string, StoredImaPolicy>()
  const mb = new Map<string, BootPolicy | null>()
  const cacheOf = (kind: PolicyKind): Map<string, unknown> => (kind === 'runtime' ? runtime : mb)

  /** What no name stands for any more is forgotten; agents that are still judged by it hold it themselves. */
  async function forgetUnused(kind: PolicyKind): Promise<void> {
    const used = await store.digests(kind)
    for (const digest of cacheOf(kind).keys()) if (!used.has(digest)) cacheOf(kind).delete(digest)
  }

  /** The body is read only when it is not parsed yet: thousands of agents share a policy. */
  async function named<T>(kind: PolicyKind, name: string | null, cache: Map<string, T>, parse: (body: string) => T): Promise<Named<T>> {
    if (name === null) return { policy: null, ref: null }
    const digest = await store.digestOf(kind, name)
    if (digest !== null && cache.has(digest)) return { policy: cache.get(digest)!, ref: { name, sha256: digest } }
    const stored = await store.find(kind, name)
    if (!stored)
      throw new KeylimeError('policy_not_found', `there is no ${kind === 'runtime' ? 'runtime' : 'measured boot'} policy named ${name}`)
    const policy = parse(stored.body)
    cache.set(stored.digest, policy)
    return { policy, ref: { name, sha256: stored.digest } }
  }

  return {
    find: (kind, name) => store.find(kind, name),
    list: (kind) => store.list(kind),
    async put(kind, name, body, key = null) {
      if (kind === 'runtime') checkSignature(body, key, rules)
      const policy = parsers[kind](body)
      const { digest } = await store.put(kind, name, body)
      cacheOf(kind).set(digest, policy)
      await forgetUnused(kind)
    },
    async delete(kind, name) {
      const deleted = await store.delete(kind, name)
      if (deleted) await forgetUnused(kind)
      return deleted
    },
    async policyOf({ tpmPolicy, runtimePolicy, mbPolicy, imaKeys = '' }) {
      const stored = await named('runtime', runtimePolicy, runtime, parsers.runtime)
      const boot = await named('mb', mbPolicy, mb, parsers.mb)
      return {
        tpm: parseTpmPolicy(tpmPolicy),
        ima: withKeys(stored.policy, imaKeys, judging),
        boot: boot.policy,
        refs: { runtime: stored.ref, mb: boot.ref },
      }
    },
  }
}
