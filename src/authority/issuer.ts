import { createPublicKey, type KeyObject } from 'node:crypto'
import { KeylimeError } from '../core/errors.ts'
import type { Authority } from '../core/pki/issue.ts'
import { sameKey } from '../core/pki/keys.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readAuthorities } from './authority-files.ts'
import type { CaAccess } from './ca-access.ts'
import { KeyStore } from './key-store.ts'

/** What signing and revoking work with: where the authority is, its certificate and key, and what its key store says. */
export interface Issuer {
  readonly access: CaAccess
  readonly certificate: Certificate
  readonly key: KeyObject
  readonly store: KeyStore
  /** The authority before, while `keylime ca rotate` is not finished. */
  readonly before?: Authority
}

/** Reads an authority without its lock: good for reading, because files are replaced whole. @throws KeylimeError `wrong_password`, `not_found`, `file_failed`. */
export async function openIssuer(access: CaAccess): Promise<Issuer> {
  const store = await KeyStore.open(access)
  const authorities = await readAuthorities(access.directory)
  const certificateOf = (key: KeyObject) => authorities.find(({ publicKey }) => sameKey(createPublicKey(key), publicKey))
  const certificate = certificateOf(store.authorityKey)
  if (!certificate)
    throw new KeylimeError('config_invalid', `cacert.crt in ${access.directory} is not the certificate of the key in private.yml`, {
      hint: 'restore the right one from a backup',
    })
  const { keyBefore } = store
  const before = keyBefore && certificateOf(keyBefore)
  return { access, certificate, key: store.authorityKey, store, ...(before ? { before: { certificate: before, key: keyBefore } } : {}) }
}
