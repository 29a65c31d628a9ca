import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyRef } from '../../../core/explanation/failed-round.ts'
import { parseStoredPolicy, type StoredImaPolicy, withKeys } from '../../../core/ima/stored-policy.ts'
import type { BootPolicy } from '../../../core/measured-boot/boot-evidence.ts'
import { type BootPolicyName, parseBootPolicy } from '../../../core/measured-boot/boot-policy.ts'
import type { AgentPolicy } from '../../../core/policy/agent-policy.ts'
import { bootDangers, type PolicyDanger, runtimeDangers } from '../../../core/policy/policy-dangers.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import type { PolicyKind, PolicyStore, StoredPolicy } from '../../../io/db/policy-store.ts'
import { checkSignature, imaJudging, type RuntimePolicyRules } from './runtime-policy-rules.ts'

/** All that one machine must meet, and which stored policies that is. */
export interface BookedPolicy extends AgentPolicy {
  refs: { runtime: PolicyRef | null; mb: PolicyRef | null }
  /** What whoever gave the policies should know. */
  dangers: readonly PolicyDanger[]
}

/** Stored policies, each parsed once whatever the number of its agents and names. */
export interface PolicyBook {
  find(kind: PolicyKind, name: string): Promise<StoredPolicy | null>
  list(kind: PolicyKind): Promise<string[]>
  /** Verifies (with `key`, if the policy is signed) and parses before it stores: what cannot be judged by is refused, what is dangerous told. @throws KeylimeError. */
  put(kind: PolicyKind, name: string, body: string, key?: string | null): Promise<readonly PolicyDanger[]>
  delete(kind: PolicyKind, name: string): Promise<boolean>
  /** All that an agent must meet. @throws KeylimeError `policy_not_found`. */
  policyOf(enrolment: Enrolment): Promise<BookedPolicy>
}

interface Parsed<T> {
  policy: T
  dangers: readonly PolicyDanger[]
}

interface Named<T> extends Parsed<T | null> {
  ref: PolicyRef | null
}

export interface PolicyBookOptions {
  /** `measured_boot_policy_name`: one for the whole verifier, as upstream. */
  bootPolicy: BootPolicyName
  rules: RuntimePolicyRules
  /** Told of a dangerous policy once, whatever the number of its agents and names, until it is forgotten. */
  warn(policy: { kind: PolicyKind; name: string; dangers: readonly PolicyDanger[] }): void
}

export function createPolicyBook(store: PolicyStore, { bootPolicy, rules, warn }: PolicyBookOptions): PolicyBook {
  const judging = imaJudging(rules)
  const parsers = {
    runtime(body: string): Parsed<StoredImaPolicy> {
      const policy = parseStoredPolicy(body, judging)
      return { policy, dangers: runtimeDangers(policy.policy) }
    },
    mb: (body: string): Parsed<BootPolicy | null> => ({
      policy: parseBootPolicy(body, bootPolicy),
      dangers: bootDangers(body, bootPolicy),
    }),
  }
  const runtime = new Map<string, Parsed<StoredImaPolicy>>()
  const mb = new Map<string, Parsed<BootPolicy | null>>()
  const cacheOf = (kind: PolicyKind): Map<string, Parsed<unknown>> => (kind === 'runtime' ? runtime : mb)

  function remember<T>(cache: Map<string, Parsed<T>>, parsed: Parsed<T>, kind: PolicyKind, { name, digest }: StoredPolicy): void {
    if (parsed.dangers.length > 0 && !cache.has(digest)) warn({ kind, name, dangers: parsed.dangers })
    cache.set(digest, parsed)
  }

  /** What no name stands for any more is forgotten; agents that are still judged by it hold it themselves. */
  async function forgetUnused(kind: PolicyKind): Promise<void> {
    const used = await store.digests(kind)
    for (const digest of cacheOf(kind).keys()) if (!used.has(digest)) cacheOf(kind).delete(digest)
  }

  /** The body is read only when it is not parsed yet: thousands of agents share a policy. */
  async function named<T>(
    kind: PolicyKind,
    name: string | null,
    cache: Map<string, Parsed<T>>,
    parse: (body: string) => Parsed<T>,
  ): Promise<Named<T>> {
    if (name === null) return { policy: null, ref: null, dangers: [] }
    const digest = await store.digestOf(kind, name)
    if (digest !== null && cache.has(digest)) return { ...cache.get(digest)!, ref: { name, sha256: digest } }
    const stored = await store.find(kind, name)
    if (!stored)
      throw new KeylimeError('policy_not_found', `there is no ${kind === 'runtime' ? 'runtime' : 'measured boot'} policy named ${name}`)
    const parsed = parse(stored.body)
    remember(cache, parsed, kind, stored)
    return { ...parsed, ref: { name, sha256: stored.digest } }
  }

  return {
    find: (kind, name) => store.find(kind, name),
    list: (kind) => store.list(kind),
    async put(kind, name, body, key = null) {
      if (kind === 'runtime') checkSignature(body, key, rules)
      const parsed = parsers[kind](body)
      remember(cacheOf(kind), parsed, kind, await store.put(kind, name, body))
      await forgetUnused(kind)
      return parsed.dangers
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
        dangers: [...stored.dangers, ...boot.dangers],
      }
    },
  }
}
