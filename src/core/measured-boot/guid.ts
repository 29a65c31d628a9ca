import { KeylimeError } from '../errors.ts'

const HEX_GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/

/** A GUID in its usual spelling: the first three groups are stored little-endian (UEFI, appendix A). @throws KeylimeError `malformed`. */
export function guidText(bytes: Buffer): string {
  if (bytes.length !== 16) throw new KeylimeError('malformed', `a GUID has 16 bytes, not ${bytes.length}`)
  const ordered = Buffer.from(bytes)
  ordered.subarray(0, 4).reverse()
  ordered.subarray(4, 6).reverse()
  ordered.subarray(6, 8).reverse()
  return ordered.toString('hex').replace(HEX_GROUPS, '$1-$2-$3-$4-$5')
}

/** Owners of the variables that a boot log holds. */
export const EFI_GLOBAL_VARIABLE = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const EFI_IMAGE_SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
export const SHIM_LOCK = '605dab50-e046-4300-abb6-3dd810dd8b23'

/** Kinds of signature lists (UEFI, section 32.4.1). */
export const EFI_CERT_X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
export const EFI_CERT_SHA256 = 'c1c41626-504c-4092-aca9-41f936934328'
