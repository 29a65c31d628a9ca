import { verifyChain } from '../pki/chain.ts'
import { sameKey } from '../pki/keys.ts'
import { type OtherName, otherNames } from '../pki/subject-alternative-names.ts'
import type { Certificate } from '../pki/types.ts'
import { iakDefects, idevidDefects } from '../tpm/key-defects.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { certificateUseDefect } from './certificate-use.ts'

const HARDWARE_MODULE_NAME = '1.3.6.1.5.5.7.8.4' // RFC 4108, section 5
const TPM_2_0_HW_TYPE = '2.23.133.1.2' // TCG

/** A key of a device and its maker's certificate for it. That the certificate is for this key was found out before. */
export interface DeviceKey {
  readonly key: PublicArea
  readonly certificate: Certificate
}

export interface DeviceIdentity {
  readonly iak: DeviceKey
  readonly idevid: DeviceKey
}

/**
 * What keeps an IAK and an IDevID from being those of one device (policies G.1): keys without the attributes of their role, one key in both roles, no chain to
 * the store, certificates for another use, or a HardwareModuleName of something that is no TPM 2.0 or not one and the same. An IAK must be restricted: what
 * an unrestricted key signs is whatever it is given, a forged TPM2_Certify too.
 * @returns undefined when nothing does; otherwise a sentence that begins with the field. @throws KeylimeError `malformed` for an extension that cannot be read.
 */
export function deviceIdentityDefect({ iak, idevid }: DeviceIdentity, store: readonly Certificate[], now: number): string | undefined {
  const attributes = [
    ...iakDefects(iak.key).map((defect) => `iak_tpm is not an attestation key: ${defect}`),
    ...idevidDefects(idevid.key).map((defect) => `idevid_tpm is not a device identity: ${defect}`),
  ]
  if (attributes.length > 0) return attributes.join('; ')
  if (iak.key.name.equals(idevid.key.name) || samePublicKey(iak.key, idevid.key)) return 'iak_tpm and idevid_tpm are one key'
  const defect = certificateDefect(iak.certificate, 'iak', store, now) ?? certificateDefect(idevid.certificate, 'idevid', store, now)
  if (defect) return defect
  const [left, right] = [moduleOf(iak.certificate)?.serialNumber, moduleOf(idevid.certificate)?.serialNumber]
  return left && right && left.equals(right)
    ? undefined
    : 'iak_cert and idevid_cert are for different devices: their HardwareModuleName differs'
}

const samePublicKey = (a: PublicArea, b: PublicArea) => sameKey(a.key, b.key)

function certificateDefect(
  certificate: Certificate,
  use: 'iak' | 'idevid',
  store: readonly Certificate[],
  now: number,
): string | undefined {
  const chain = verifyChain({ leaf: certificate, intermediates: [], anchors: store, now })
  const defect = chain.ok ? (moduleDefect(certificate) ?? certificateUseDefect(certificate, use)) : chain.reason
  return defect && `${use}_cert: ${defect}`
}

/** What a maker calls the device that a key is of. */
export const moduleOf = (certificate: Certificate): OtherName | undefined =>
  otherNames(certificate).find((name) => name.type === HARDWARE_MODULE_NAME)

function moduleDefect(certificate: Certificate): string | undefined {
  const module = moduleOf(certificate)
  if (!module) return 'it has no HardwareModuleName that says which TPM it is for'
  if (module.hardwareType !== TPM_2_0_HW_TYPE) return `its HardwareModuleName is of type ${module.hardwareType}, not of a TPM 2.0`
  return module.serialNumber?.length ? undefined : 'its HardwareModuleName has no serial number'
}
