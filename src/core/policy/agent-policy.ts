import type { ImaPolicy } from '../ima/ima-policy.ts'
import type { BootPolicy } from '../measured-boot/boot-evidence.ts'
import { DATA_PCR, IMA_PCR, pcrMask, pcrsOfMask } from '../tpm/pcr-selection.ts'
import type { TpmPolicy } from './tpm-policy.ts'

/** All that one machine must meet. */
export interface AgentPolicy {
  tpm: TpmPolicy
  ima: ImaPolicy | null
  boot: BootPolicy | null
}

/**
 * Which PCRs a machine's policies need, as a mask: what is asked of it and what its quote must cover. Those of the static policy, by mask and by value, PCR 10 for
 * a runtime policy, and those of measured boot, whatever the mask says: a policy whose PCRs are not quoted would silently judge nothing (invariant 10).
 */
export const policyMask = ({ tpm, ima, boot }: AgentPolicy): number =>
  (tpm.mask | pcrMask([...tpm.allowed.keys()]) | (ima ? pcrMask([IMA_PCR]) : 0) | pcrMask(boot?.pcrs ?? [])) >>> 0

/** PCRs that a quote for these policies must cover, ascending: those that they need, and the one that binds the transport key. */
export function quotedPcrs(policy: AgentPolicy): readonly number[] {
  const known = quoted.get(policy) ?? pcrsOfMask(policyMask(policy) | pcrMask([DATA_PCR]))
  quoted.set(policy, known)
  return known
}

/** A policy does not change, and is asked for at each attestation. */
const quoted = new WeakMap<AgentPolicy, readonly number[]>()
