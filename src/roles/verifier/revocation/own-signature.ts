import { X509Certificate } from 'node:crypto'
import { isSignedBy } from '../../../core/revocation/signature.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import type { NotifierKey } from './notifier-key.ts'

/** Signatures that are kept: the same revocation is looked up again for other machines. */
const MAX_KEPT = 1000

/**
 * Machines know the notifier key of the verifier that attests them, and no other. What another verifier stored that shares the database, or this one with an earlier key, is signed again before
 * they are told of it; the signature by the key of the enrolment stays.
 */
export function signedByOwn(key: NotifierKey): (revocation: StoredRevocation) => StoredRevocation {
  const publicKey = key.certificate === '' ? null : new X509Certificate(key.certificate).publicKey
  const known = new WeakMap<StoredRevocation, StoredRevocation>()
  const kept = new Map<string, string>()

  function signatureOf({ id, text, verifierSignature }: StoredRevocation): string {
    const which = `${id} ${verifierSignature}` // a server that took over for another gives its last ids again
    const signature = kept.get(which) ?? key.sign(text)
    kept.delete(which)
    kept.set(which, signature)
    if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value!)
    return signature
  }

  function signed(revocation: StoredRevocation): StoredRevocation {
    const { text, signature, verifierSignature } = revocation
    if (publicKey && isSignedBy(publicKey, text, verifierSignature)) return revocation
    const own = signatureOf(revocation)
    return { ...revocation, signature: signature === verifierSignature ? own : signature, verifierSignature: own }
  }

  return (revocation) => {
    const result = known.get(revocation) ?? signed(revocation)
    known.set(revocation, result).set(result, result)
    return result
  }
}
