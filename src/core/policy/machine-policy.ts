import { sharedText } from '../ima/build-digest-table.ts'
import { keyringText, LazyKeys, parseKeyring } from '../ima/keyring.ts'
import { isLight, type PackedPolicy, unpackPolicy } from '../ima/packed-policy.ts'
import type { RuntimePolicy } from '../ima/runtime-policy.ts'
import { type ImaJudging, judgeBy } from '../ima/stored-policy.ts'
import type { BootPolicy } from '../measured-boot/boot-evidence.ts'
import { type BootPolicyName, parseBootPolicy } from '../measured-boot/boot-policy.ts'
import type { AgentPolicy } from './agent-policy.ts'
import type { TpmPolicy } from './tpm-policy.ts'

/** A text that threads share, and its checksum by which what was made of it is found again. */
export interface SharedText {
  /** SHA-256 of the text as it was given, hex. */
  digest: string
  /** UTF-8. */
  text: SharedArrayBuffer
}

/** A runtime policy that was read. */
export interface ReadRuntimePolicy {
  /** SHA-256 of its text, hex. */
  digest: string
  packed: PackedPolicy
}

/** A measured boot policy that was read. */
export interface ReadBootPolicy extends SharedText {
  /** `BootPolicy.pcrs` */
  pcrs: readonly number[]
  /** Taking it up takes so long that no thread does that others wait for. */
  heavy: boolean
}

/** All that one machine must meet, as threads hand it on. */
export interface PackedAgentPolicy {
  tpm: TpmPolicy
  runtime: ReadRuntimePolicy | null
  /** Null also for a measured boot policy that demands nothing. */
  boot: ReadBootPolicy | null
  /** Keyring of the agent's own for signed files, in the place of the runtime policy's. */
  imaKeys: SharedText | null
}

/** All that one machine must meet: judged by in this thread, or handed on. */
export interface MachinePolicy extends AgentPolicy {
  readonly packed: PackedAgentPolicy
  /** Too much to be taken up in a thread that others wait for: `ima` and `boot` are only there to be seen. */
  readonly heavy: boolean
}

/** How this process judges, whatever a policy says. */
export interface PolicyRules extends ImaJudging {
  /** `measured_boot_policy_name` */
  bootPolicy: BootPolicyName
}

/** Policies that this thread has taken up, so that thousands of agents share one; the longest unused are forgotten. */
export interface PolicyShelf {
  runtime(policy: ReadRuntimePolicy): RuntimePolicy
  boot(policy: SharedText): BootPolicy | null
  keys(keys: SharedText): LazyKeys
}

export function createPolicyShelf(bootPolicy: BootPolicyName, size: number): PolicyShelf {
  const remembered = <P extends { digest: string }, T>(make: (policy: P) => T) => {
    const made = new Map<string, T>()
    return (policy: P): T => {
      const known = made.has(policy.digest) ? made.get(policy.digest)! : make(policy)
      made.delete(policy.digest)
      made.set(policy.digest, known)
      if (made.size > size) made.delete(made.keys().next().value!)
      return known
    }
  }
  return {
    runtime: remembered(({ packed }) => unpackPolicy(packed)),
    boot: remembered(({ text }) => parseBootPolicy(textOf(text), bootPolicy)),
    keys: remembered(({ text }) => new LazyKeys(textOf(text))),
  }
}

export const textOf = (shared: SharedArrayBuffer): string => Buffer.from(shared).toString('utf8')

/** Takes a policy up in this thread. */
export function unpackAgentPolicy(
  { tpm, runtime, boot, imaKeys }: PackedAgentPolicy,
  shelf: PolicyShelf,
  judging: ImaJudging,
): AgentPolicy {
  const keys = imaKeys && shelf.keys(imaKeys)
  return { tpm, ima: judgeBy(runtime && shelf.runtime(runtime), keys, judging), boot: boot && shelf.boot(boot) }
}

const ELSEWHERE = {
  judge(): never {
    throw new Error('this policy is too large to judge by it in this thread')
  },
}

/** @param shelf of the thread that others wait for. */
export function machinePolicy(packed: PackedAgentPolicy, shelf: PolicyShelf, judging: ImaJudging): MachinePolicy {
  const { runtime, boot, imaKeys } = packed
  const heavy = (runtime !== null && !isLight(runtime.packed)) || (boot?.heavy ?? false)
  if (!heavy) return { ...unpackAgentPolicy(packed, shelf, judging), packed, heavy }
  const hasIma = imaKeys !== null || (runtime !== null && !runtime.packed.isEmpty)
  return { tpm: packed.tpm, ima: hasIma ? ELSEWHERE : null, boot: boot ? { pcrs: boot.pcrs, ...ELSEWHERE } : null, packed, heavy }
}

/** @param text of a keyring (`ima_sign_verification_keys`), not empty. @throws KeylimeError `invalid_request` that names the key. */
export const packKeys = (text: string, digest: string): SharedText => ({
  digest,
  text: sharedText(keyringText(parseKeyring(text, 'ima_sign_verification_keys'))),
})
