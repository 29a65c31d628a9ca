import { sized, u32 } from '../../../src/core/tpm/byte-writer.ts'
import { parseCredentialBlob } from '../../../src/core/tpm/make-credential.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const printed = (idObject: Buffer, secret: Buffer) => Buffer.concat([u32(0xbadcc0de), u32(1), sized(idObject), sized(secret)])

/** The registrar's challenge, as it reaches the agent: written again it is the same. */
export const credentialBlob: Target = {
  seeds: () => [printed(Buffer.alloc(68, 1), Buffer.alloc(256, 2)), printed(Buffer.alloc(0), Buffer.alloc(0))],
  run(input) {
    const blob = unlessRefused(['malformed'], () => parseCredentialBlob(input))
    if (blob) demand(printed(blob.idObject, blob.encryptedSecret).equals(input), 'written again it is another blob')
  },
}
