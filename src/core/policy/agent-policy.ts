import type { ImaPolicy } from '../ima/ima-policy.ts'
import type { BootPolicy } from '../measured-boot/boot-evidence.ts'
import { IMA_PCR, pcrMask } from '../tpm/pcr-selection.ts'
import type { TpmPolicy } from './tpm-policy.ts'

/** All that one machine must meet. */
export interface AgentPolicy {
  tpm: TpmPolicy
  ima: ImaPolicy | null
  boot: BootPolicy | null
}

/**
 * PCRs to ask for, as a mask: those of the static policy, and PCR 10 for a runtime policy whatever the mask says. A policy whose PCRs are not quoted
 * would silently judge nothing (invariant 10).
 */
export const policyMask = ({ tpm, ima }: AgentPolicy): number => (ima ? tpm.mask | pcrMask([IMA_PCR]) : tpm.mask)
