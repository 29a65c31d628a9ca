import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../src/core/pki/issue.ts'
import type { Certificate } from '../../../src/core/pki/types.ts'

const fileOf = (name: string) => readFileSync(path.resolve(import.meta.dirname, '../../vectors/fuzz/authority', name))
let known: Authority | undefined

/** What an authority made that OpenSSL is: the same in every run. */
export const CRL = fileOf('crl.der')
export const CRL_VERSION_1 = fileOf('crl-version-1.der')
export const OCSP_REQUEST = fileOf('ocsp-request.der')
export const CSR = fileOf('csr.der')

export function authorityWithKey(): Authority {
  known ??= { certificate: parseCertificate(fileOf('cert.pem').toString()), key: createPrivateKey(fileOf('key.pem')) }
  return known
}

export const authority = (): Certificate => authorityWithKey().certificate
