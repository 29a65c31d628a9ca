import { parseSigningRequest } from '../../../src/core/pki/csr.ts'
import { spkiOf } from '../../../src/core/spki.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { CSR } from './authority.ts'

/** Asks for another name than was signed. */
const FORGED = Buffer.from(CSR.toString('latin1').replace('agent', 'agenu'), 'latin1')
const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${CSR.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`

/** Signing requests: nothing passes that the holder of the key did not sign. */
export const csr: Target = {
  seeds: () => [CSR, FORGED, Buffer.from(pem)],
  words: ['-----BEGIN CERTIFICATE REQUEST-----', '-----END'],
  run(input) {
    const request = unlessRefused(['malformed'], () => parseSigningRequest(input))
    if (!request) return
    const good = parseSigningRequest(CSR)
    if (spkiOf(request.publicKey).equals(spkiOf(good.publicKey)))
      demand(
        request.subject === good.subject && JSON.stringify(request.alternativeNames) === JSON.stringify(good.alternativeNames),
        'a forged request is taken',
      )
  },
}
