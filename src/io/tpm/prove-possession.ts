import type { AttestationKeys } from './attestation-keys.ts'
import type { SignedAttest } from './tpm.ts'

/** The attestation key certifies itself over a verifier's challenge: who holds it holds the TPM (push-wire 1). @throws KeylimeError `tpm_failed`. */
export const provePossession = (keys: AttestationKeys, challenge: Buffer): Promise<SignedAttest> =>
  keys.use(({ tpm, ak }) => tpm.certify(ak, ak, challenge))
