import type { ImaPolicy } from '../ima/ima-policy.ts'
import type { BootPolicy } from '../measured-boot/boot-evidence.ts'
import type { TpmPolicy } from './tpm-policy.ts'

/** All that one machine must meet. */
export interface AgentPolicy {
  tpm: TpmPolicy
  ima: ImaPolicy | null
  boot: BootPolicy | null
}
