import { createPublicKey } from 'node:crypto'
import { encryptShare } from '../../../src/core/payload/transport.ts'
import { spkiOf } from '../../../src/core/spki.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const SHARE = Buffer.alloc(32, 1)
const pem = (der: Buffer) => `-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`
const rsa = (modulus: Buffer, exponent: string) =>
  spkiOf(createPublicKey({ format: 'jwk', key: { kty: 'RSA', n: modulus.toString('base64url'), e: exponent } }))

/** The transport key that a machine shows, as PEM of the input or as the input itself: a share is encrypted to it, or it is refused. */
export const transportKey: Target = {
  seeds: () => [
    ...['secure-boot-ima-ng', 'quote-ecc'].map((machine) => spkiOf(parsePublicArea(machineFile(machine, 'ak.pub')).key)),
    Buffer.from(pem(spkiOf(parsePublicArea(machineFile('secure-boot-ima-ng', 'ak.pub')).key))),
    rsa(Buffer.alloc(2100, 0xff), 'AQAB'),
    rsa(Buffer.alloc(256, 0xff), 'AQ'),
    rsa(Buffer.alloc(256, 0xfe), 'AQAB'),
    rsa(Buffer.alloc(512, 0xff), Buffer.alloc(511, 0xff).toString('base64url')),
  ],
  run(input) {
    for (const text of [pem(input), input.toString('latin1')]) {
      const encrypted = unlessRefused(['malformed'], () => encryptShare(text, SHARE))
      demand(encrypted === null || Buffer.from(encrypted, 'base64').length >= 256, 'the share is encrypted to a short key')
    }
  },
}
