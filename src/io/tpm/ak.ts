import { KeylimeError } from '../../core/errors.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'
import { akTemplate, type KeyKind, type SigningName } from '../../core/tpm/templates.ts'
import type { EndorsementKey } from './ek.ts'
import type { KeyBlob, Tpm, TpmHandle } from './tpm.ts'

export interface AkKind {
  kind: KeyKind
  hash: HashName
  signing: SigningName
}

/** A new attestation key under the EK: restricted, it signs only what the TPM itself made. Not loaded yet. */
export function createAk(tpm: Tpm, ek: EndorsementKey, { kind, hash, signing }: AkKind): Promise<KeyBlob> {
  if (kind.startsWith('rsa') !== (signing !== 'ecdsa'))
    throw new KeylimeError('config_invalid', `an attestation key of kind ${kind} cannot sign with ${signing}`, {
      hint: 'tpm_signing_alg is rsassa or rsapss for RSA keys, and ecdsa for ECC keys',
    })
  return tpm.create(ek.handle, akTemplate(kind, hash, signing), ek.policy)
}

/** @throws KeylimeError `tpm_failed`; `isForeignBlob` tells a key of another TPM. */
export const loadAk = (tpm: Tpm, ek: EndorsementKey, blob: KeyBlob): Promise<TpmHandle> => tpm.load(ek.handle, blob, ek.policy)
