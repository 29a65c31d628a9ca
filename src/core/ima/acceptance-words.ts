/** What the kernel writes when the TPM has no bank that it could make a boot_aggregate of: that of `ima_hash=`, SHA-256 or SHA-1. */
export const isEmptyAggregate = (digest: string): boolean => /^0+$/.test(digest)

/** What it means to take a digest into a member of the runtime policy. @param isKnown the policy has other digests for that name. */
export function acceptanceMeaning(member: string, { name, digest }: { name: string; digest: string }, isKnown: boolean): string {
  if (member === 'keyrings')
    return `accepting lets every machine of the policy trust this key in keyring ${name}: files that it signed need no digest of their own`
  if (member === 'ima-buf') return `accepting lets every machine of the policy give this content of ${name} to its kernel`
  if (name === 'boot_aggregate' && isEmptyAggregate(digest))
    return 'the kernel found no PCR bank to make it from, so accepting it lets machines after any boot pass; boot with ima_hash= of a bank that the TPM has (sha384)'
  if (name === 'boot_aggregate')
    return 'accepting lets machines with this firmware, boot loader and settings (PCR 0 to 9 together) pass: it differs after an update of these, and between kinds of machines'
  if (isKnown)
    return `accepting lets this content of ${name} run too, in addition to what the policy knows about it, on every machine of the policy: an update explains it, and so does a replaced file`
  return `accepting lets ${name} with this content run on every machine of the policy: find out where it came from first`
}
