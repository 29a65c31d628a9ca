import type { KeyObject } from 'node:crypto'
import { verifiesFiles } from '../../core/ima/keyring.ts'
import type { VerifyDigest } from '../../core/ima/verify-digest.ts'
import { type NativeAddon, nativeAddon } from './native-addon.ts'

type Verifier = InstanceType<NativeAddon['DigestVerifier']>

/** Each key is handed to OpenSSL once; what was made of it lives as long as the key itself. Null for a key that signs no files. */
const verifiers = new WeakMap<KeyObject, Verifier | null>()

/** File signatures by OpenSSL itself: node's own interface hashes what is signed once more. */
export const nativeVerifyDigest: VerifyDigest = (key, { digest, digestInfo }, signature) => {
  let verifier = verifiers.get(key)
  if (verifier === undefined) {
    verifier = verifiesFiles(key) ? new (nativeAddon().DigestVerifier)(key.export({ format: 'der', type: 'spki' })) : null
    verifiers.set(key, verifier)
  }
  return verifier?.verify(key.asymmetricKeyType === 'ec' ? digest : digestInfo, signature) ?? false
}
