import { TPM_ALG } from '../tpm/algorithms.ts'
import type { PublicArea } from '../tpm/public-area.ts'

const SIGNING: Record<number, string> = { [TPM_ALG.RSASSA]: 'rsassa', [TPM_ALG.RSAPSS]: 'rsapss', [TPM_ALG.ECDSA]: 'ecdsa' }

/** Hash, kind and scheme of an attestation key by Keylime's names; empty texts for what cannot be judged. */
export const akAlgorithms = ({ type, keyBits, scheme }: PublicArea): { hash: string; encryption: string; signing: string } => ({
  hash: scheme?.hash ?? '',
  encryption: `${type}${keyBits}`,
  signing: SIGNING[scheme?.algorithm ?? -1] ?? '',
})
