import { TPM_ALG } from './algorithms.ts'

/** Keylime's names of TPM_ALG_ID (protocol 4.5), also of those that cannot be judged here: an agent tells all that its TPM has. */
const NAMES: Readonly<Record<'hash' | 'signature', Readonly<Record<number, string>>>> = {
  hash: {
    [TPM_ALG.SHA1]: 'sha1',
    [TPM_ALG.SHA256]: 'sha256',
    [TPM_ALG.SHA384]: 'sha384',
    [TPM_ALG.SHA512]: 'sha512',
    [TPM_ALG.SM3_256]: 'sm3_256',
  },
  signature: {
    [TPM_ALG.RSASSA]: 'rsassa',
    [TPM_ALG.RSAPSS]: 'rsapss',
    [TPM_ALG.ECDSA]: 'ecdsa',
    [TPM_ALG.ECDAA]: 'ecdaa',
    [TPM_ALG.ECSCHNORR]: 'ecschnorr',
  },
}

/** Undefined for an algorithm of another kind. */
export const algorithmName = (algorithm: number, kind: 'hash' | 'signature'): string | undefined => NAMES[kind][algorithm]
