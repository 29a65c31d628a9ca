import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyRef } from '../../../core/explanation/failed-round.ts'
import type { Judging, PolicyText, ReadPolicy } from '../../../core/judging/judging.ts'
import { createPolicyShelf, type MachinePolicy, machinePolicy, type PolicyRules } from '../../../core/policy/machine-policy.ts'
import type { PolicyDanger } from '../../../core/policy/policy-dangers.ts'
import { isOwnPolicyName, policyNameText } from '../../../core/policy/policy-name.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import type { PolicyBody } from '../../../io/db/policy-bodies.ts'
import type { PolicyKind, PolicyStore } from '../../../io/db/policy-store.ts'

/** All that one machine must meet, and which stored policies that is. */
export interface BookedPolicy extends MachinePolicy {
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
  policy: KnownPolicy
}

/** As it arrives: with the PEM key that it is signed with, null when none came. */
export type Arriving = Omit<PolicyText, 'arrives'> & { key: string | null }

/** What is kept of a policy: not its text. */
type KnownPolicy = Omit<ReadPolicy, 'bytes'>

/** Stored policies, each read once whatever the number of its agents and names. */
export interface PolicyBook {
  /** Verifies and reads; what cannot be judged by is refused before anything is stored. @throws KeylimeError. */
  check(policy: Arriving): Promise<ArrivedPolicy>
  /** `check`, then stores. @returns the digest that the name had before, and what is dangerous. @throws KeylimeError, see `PolicyStore.put`. */
  put(
    name: string,
    policy: Arriving,
    must: 'create' | 'replace',
  ): Promise<{ before: string | null; after: string; dangers: readonly PolicyDanger[] }>
  /** @returns the digest that it had; null when there was none. @throws KeylimeError `conflict` when an agent uses it. */
  delete(kind: PolicyKind, name: string): Promise<string | null>
  /** All that an agent must meet, one object for all who must meet the same. @throws KeylimeError `policy_not_found`, or why a stored policy cannot be judged by. */
  policyOf(enrolment: Enrolment, known?: KnownBefore): Promise<BookedPolicy>
  /** Drops what no name stands for any more; agents that are still judged by it hold it themselves. */
  forgetUnused(): Promise<void>
}

/** What need not be looked up. */
export interface KnownBefore {
  /** Count in the place of what is stored under their names. */
  arrived?: readonly (ArrivedPolicy & { name: string })[]
  /** What the names of the enrolment stood for a moment ago; null or missing where that is not known. */
  digests?: Readonly<Partial<Record<PolicyKind, string | null>>>
}

export interface PolicyBookOptions {
  store: PolicyStore
  judging: Pick<Judging, 'readPolicy' | 'readKeys'>
  /** How this process judges what it judges itself. */
  rules: PolicyRules
  /** Told of a dangerous policy once, whatever the number of its agents and names, until it is forgotten. */
  warn(policy: { kind: PolicyKind; name: string; dangers: readonly PolicyDanger[] }): void
}

/** Policies that are ready to judge by in this thread; agents hold theirs themselves. */
const SHELF_SIZE = 64

export function createPolicyBook({ store, judging, rules, warn }: PolicyBookOptions): PolicyBook {
  const known: Record<PolicyKind, Map<string, Promise<KnownPolicy>>> = { runtime: new Map(), mb: new Map() }
  const shelf = createPolicyShelf(rules.bootPolicy, SHELF_SIZE)
  const machines = new Map<string, BookedMachine>()
  const warned = new Set<string>()

  function remember(kind: PolicyKind, policy: KnownPolicy, name: string): void {
    known[kind].set(policy.digest, Promise.resolve(policy))
    if (policy.dangers.length === 0 || warned.has(kind + policy.digest)) return
    warned.add(kind + policy.digest)
    warn({ kind, name, dangers: policy.dangers })
  }

  async function forgetUnused(): Promise<void> {
    const used = { runtime: await store.digests('runtime'), mb: await store.digests('mb') }
    for (const kind of ['runtime', 'mb'] as const) {
      for (const digest of known[kind].keys()) {
        if (used[kind].has(digest)) continue
        known[kind].delete(digest)
        warned.delete(kind + digest)
      }
    }
    // Of those without policies nobody knows whether they are used: agents hold theirs themselves.
    for (const [key, { digests }] of machines)
      if (digests.length === 0 || !digests.every((digest) => used.runtime.has(digest) || used.mb.has(digest))) machines.delete(key)
  }

  /** The body is read only when it is not known yet, and once for all who ask meanwhile: thousands of agents share a policy. */
  async function named(kind: PolicyKind, name: string | null, found: string | null = null): Promise<NamedPolicy | null> {
    if (name === null) return null
    const digest = found !== null && known[kind].has(found) ? found : await store.digestOf(kind, name)
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

  async function readStored(kind: PolicyKind, name: string, digest: string): Promise<KnownPolicy> {
    const bytes = await store.body(digest)
    if (!bytes) throw missing(kind, name)
    return withoutText(await judging.readPolicy({ kind, bytes }))
  }

  async function check({ key, ...text }: Arriving): Promise<ArrivedPolicy> {
    const read = await judging.readPolicy({ ...text, arrives: { key } })
    return { kind: text.kind, body: { digest: read.digest, bytes: read.bytes }, policy: withoutText(read) }
  }

  /** One for all agents that must meet the same. */
  async function machineOf(
    tpmPolicy: string,
    imaKeys: string,
    runtime: KnownPolicy | null,
    boot: KnownPolicy | null,
  ): Promise<BookedMachine> {
    const digests = [runtime?.digest, boot?.digest].filter((digest) => digest !== undefined)
    const key = JSON.stringify([tpmPolicy, imaKeys, runtime?.digest, boot?.digest])
    const ready = machines.get(key)
    if (ready) return ready
    const keys = await judging.readKeys(imaKeys)
    const packed = { tpm: parseTpmPolicy(tpmPolicy), runtime: runtime?.runtime ?? null, boot: boot?.boot ?? null, imaKeys: keys }
    const policy = machinePolicy(packed, shelf, rules)
    const machine: BookedMachine = { policy, digests, booked: new Map() }
    machines.set(key, machine)
    return machine
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
    async policyOf({ tpmPolicy, runtimePolicy, mbPolicy, imaKeys = '' }, { arrived = [], digests = {} } = {}) {
      for (const { kind, name, policy } of arrived) remember(kind, policy, name)
      const given = (kind: PolicyKind) => asNamed(arrived.find((policy) => policy.kind === kind))
      const runtime = given('runtime') ?? (await named('runtime', runtimePolicy, digests.runtime))
      const boot = given('mb') ?? (await named('mb', mbPolicy, digests.mb))
      const machine = await machineOf(tpmPolicy, imaKeys, runtime, boot)
      return bookedOf(machine, runtime, boot)
    },
    forgetUnused,
  }
}

/** What a machine must meet, and what stands for it under the names that its policies have. */
interface BookedMachine {
  policy: MachinePolicy
  digests: readonly string[]
  booked: Map<string, BookedPolicy>
}

/** Names of one policy that are remembered: more are rare. */
const MAX_NAMES = 100

function bookedOf({ policy, booked }: BookedMachine, runtime: NamedPolicy | null, boot: NamedPolicy | null): BookedPolicy {
  const names = [runtime?.ref.name ?? null, boot?.ref.name ?? null]
  const key = JSON.stringify(names)
  const known = booked.get(key)
  if (known) return known
  const made: BookedPolicy = {
    ...policy,
    refs: { runtime: runtime?.ref ?? null, mb: boot?.ref ?? null },
    imaJudgedBy: [runtime?.digest ?? '', policy.packed.imaKeys?.digest ?? ''].join('+'),
    dangers: [...(runtime?.dangers ?? []), ...(boot?.dangers ?? [])],
  }
  if (names.some((name) => name !== null && isOwnPolicyName(name))) return made // nobody shares it
  if (booked.size >= MAX_NAMES) booked.clear()
  booked.set(key, made)
  return made
}

type NamedPolicy = KnownPolicy & { ref: PolicyRef }

const withoutText = ({ bytes: _, ...policy }: ReadPolicy): KnownPolicy => policy

const asNamed = (arrived: (ArrivedPolicy & { name: string }) | undefined): NamedPolicy | undefined =>
  arrived && { ...arrived.policy, ref: { name: arrived.name, sha256: arrived.policy.digest } }

function missing(kind: PolicyKind, name: string): KeylimeError {
  const what = kind === 'runtime' ? 'runtime' : 'measured boot'
  return new KeylimeError('policy_not_found', `there is no ${what} policy named ${policyNameText(name)}`)
}
