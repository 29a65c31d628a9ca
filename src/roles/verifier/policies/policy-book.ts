import { createHash } from 'node:crypto'
import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyRef } from '../../../core/explanation/failed-round.ts'
import { type ImaJudging, withKeys } from '../../../core/ima/stored-policy.ts'
import type { AgentPolicy } from '../../../core/policy/agent-policy.ts'
import type { PolicyDanger } from '../../../core/policy/policy-dangers.ts'
import { policyNameText } from '../../../core/policy/policy-name.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import type { PolicyBody } from '../../../io/db/policy-bodies.ts'
import type { PolicyKind, PolicyStore } from '../../../io/db/policy-store.ts'
import type { PolicyReader, ReadPolicy } from './read-policy.ts'

/** All that one machine must meet, and which stored policies that is. */
export interface BookedPolicy extends AgentPolicy {
  refs: { runtime: PolicyRef | null; mb: PolicyRef | null }
  /** Stands for the runtime policy and the keys that an IMA log is judged by: progress made under another one does not count. */
  imaJudgedBy: string
  /** What whoever gave the policies should know. */
  dangers: readonly PolicyDanger[]
}

/** A policy that arrived, checked and not stored yet. */
export interface ArrivedPolicy {
  kind: PolicyKind
  body: PolicyBody
  policy: ReadPolicy
}

export interface Arriving {
  kind: PolicyKind
  /** UTF-8. */
  bytes: Buffer
  /** PEM that a signed policy is verified with; null when none came. */
  key: string | null
}

/** Stored policies, each parsed once whatever the number of its agents and names. */
export interface PolicyBook {
  /** Verifies and parses; what cannot be judged by is refused before anything is stored. @throws KeylimeError. */
  check(policy: Arriving): Promise<ArrivedPolicy>
  /** `check`, then stores. @returns the digest that the name had before, and what is dangerous. @throws KeylimeError, see `PolicyStore.put`. */
  put(
    name: string,
    policy: Arriving,
    must: 'create' | 'replace',
  ): Promise<{ before: string | null; after: string; dangers: readonly PolicyDanger[] }>
  /** @returns the digest that it had; null when there was none. @throws KeylimeError `conflict` when an agent uses it. */
  delete(kind: PolicyKind, name: string): Promise<string | null>
  /** All that an agent must meet. @param arrived counts in the place of what is stored under its name. @throws KeylimeError `policy_not_found`, or why a stored policy cannot be judged by. */
  policyOf(enrolment: Enrolment, arrived?: readonly (ArrivedPolicy & { name: string })[]): Promise<BookedPolicy>
  /** Drops what no name stands for any more; agents that are still judged by it hold it themselves. */
  forgetUnused(): Promise<void>
}

export interface PolicyBookOptions {
  store: PolicyStore
  read: PolicyReader
  judging: ImaJudging
  /** Told of a dangerous policy once, whatever the number of its agents and names, until it is forgotten. */
  warn(policy: { kind: PolicyKind; name: string; dangers: readonly PolicyDanger[] }): void
}

export function createPolicyBook({ store, read, judging, warn }: PolicyBookOptions): PolicyBook {
  const known: Record<PolicyKind, Map<string, Promise<ReadPolicy>>> = { runtime: new Map(), mb: new Map() }
  const warned = new Set<string>()

  function remember(kind: PolicyKind, policy: ReadPolicy, name: string): void {
    known[kind].set(policy.digest, Promise.resolve(policy))
    if (policy.dangers.length === 0 || warned.has(kind + policy.digest)) return
    warned.add(kind + policy.digest)
    warn({ kind, name, dangers: policy.dangers })
  }

  async function forgetUnused(): Promise<void> {
    for (const kind of ['runtime', 'mb'] as const) {
      const used = await store.digests(kind)
      for (const digest of known[kind].keys()) {
        if (used.has(digest)) continue
        known[kind].delete(digest)
        warned.delete(kind + digest)
      }
    }
  }

  /** The body is read only when it is not parsed yet, and once for all who ask meanwhile: thousands of agents share a policy. */
  async function named(kind: PolicyKind, name: string | null): Promise<(ReadPolicy & { ref: PolicyRef }) | null> {
    if (name === null) return null
    const digest = await store.digestOf(kind, name)
    if (digest === null) throw missing(kind, name)
    let policy = known[kind].get(digest)
    if (!policy) {
      policy = readStored(kind, name, digest)
      known[kind].set(digest, policy)
      policy.then(
        (found) => remember(kind, found, name),
        () => known[kind].delete(digest),
      )
    }
    return { ...(await policy), ref: { name, sha256: digest } }
  }

  async function readStored(kind: PolicyKind, name: string, digest: string): Promise<ReadPolicy> {
    const bytes = await store.body(digest)
    if (!bytes) throw missing(kind, name)
    return read({ kind, bytes })
  }

  async function check({ kind, bytes, key }: Arriving): Promise<ArrivedPolicy> {
    const policy = await read({ kind, bytes, arrives: { key } })
    return { kind, body: { digest: policy.digest, bytes }, policy }
  }

  return {
    check,
    async put(name, arriving, must) {
      const { kind, body, policy } = await check(arriving)
      const before = await store.put(kind, name, { body, must })
      remember(kind, policy, name)
      await forgetUnused()
      return { before, after: body.digest, dangers: policy.dangers }
    },
    async delete(kind, name) {
      const before = await store.delete(kind, name)
      if (before !== null) await forgetUnused()
      return before
    },
    async policyOf({ tpmPolicy, runtimePolicy, mbPolicy, imaKeys = '' }, arrived = []) {
      for (const { kind, name, policy } of arrived) remember(kind, policy, name)
      const given = (kind: PolicyKind) => arrived.find((policy) => policy.kind === kind)
      const runtime = asNamed(given('runtime')) ?? (await named('runtime', runtimePolicy))
      const boot = asNamed(given('mb')) ?? (await named('mb', mbPolicy))
      return {
        tpm: parseTpmPolicy(tpmPolicy),
        ima: withKeys(runtime?.runtime ?? null, imaKeys, judging),
        boot: boot?.boot ?? null,
        refs: { runtime: runtime?.ref ?? null, mb: boot?.ref ?? null },
        imaJudgedBy: `${runtime?.digest ?? ''}${imaKeys === '' ? '' : `+${createHash('sha256').update(imaKeys).digest('hex')}`}`,
        dangers: [...(runtime?.dangers ?? []), ...(boot?.dangers ?? [])],
      }
    },
    forgetUnused,
  }
}

const asNamed = (arrived: (ArrivedPolicy & { name: string }) | undefined) =>
  arrived && { ...arrived.policy, ref: { name: arrived.name, sha256: arrived.policy.digest } }

function missing(kind: PolicyKind, name: string): KeylimeError {
  const what = kind === 'runtime' ? 'runtime' : 'measured boot'
  return new KeylimeError('policy_not_found', `there is no ${what} policy named ${policyNameText(name)}`)
}
