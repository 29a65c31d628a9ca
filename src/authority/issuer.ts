import type { KeyObject } from 'node:crypto'
import path from 'node:path'
import { parseCertificate } from '../core/pki/certificate.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readText } from '../io/files/read-file.ts'
import type { CaAccess } from './ca-access.ts'
import { KeyStore } from './key-store.ts'

/** What signing and revoking work with: where the authority is, its certificate and key, and what its key store says. */
export interface Issuer {
  readonly access: CaAccess
  readonly certificate: Certificate
  readonly key: KeyObject
  readonly store: KeyStore
}

/** Reads an authority without its lock: good for reading, because files are replaced whole. @throws KeylimeError `wrong_password`, `not_found`, `file_failed`. */
export async function openIssuer(access: CaAccess): Promise<Issuer> {
  const store = await KeyStore.open(access)
  const certificate = parseCertificate(await readText(path.join(access.directory, 'cacert.crt')))
  return { access, certificate, key: store.authorityKey, store }
}
