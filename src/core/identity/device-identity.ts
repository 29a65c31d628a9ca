import { verifyChain } from '../pki/chain.ts'
import { otherNames } from '../pki/subject-alternative-names.ts'
import type { Certificate } from '../pki/types.ts'

const HARDWARE_MODULE_NAME = '1.3.6.1.5.5.7.8.4' // RFC 4108, section 5
const TPM_2_0_HW_TYPE = '2.23.133.1.2' // TCG

/**
 * What keeps an IAK or IDevID certificate from being one (policies G.1): no chain to the store, or a HardwareModuleName of something that is
 * no TPM 2.0. @returns undefined when nothing does.
 */
export function deviceIdentityDefect(certificate: Certificate, store: readonly Certificate[], now: number): string | undefined {
  const chain = verifyChain({ leaf: certificate, intermediates: [], anchors: [...store], now })
  if (!chain.ok) return chain.reason
  const module = otherNames(certificate).find((name) => name.type === HARDWARE_MODULE_NAME)
  if (!module) return 'it has no HardwareModuleName that says which TPM it is for'
  return module.hardwareType === TPM_2_0_HW_TYPE ? undefined : `its HardwareModuleName is of type ${module.hardwareType}, not of a TPM 2.0`
}
