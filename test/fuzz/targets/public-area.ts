import { createHash } from 'node:crypto'
import { hashAlgOf } from '../../../src/core/tpm/algorithms.ts'
import { sized, u16, u32 } from '../../../src/core/tpm/byte-writer.ts'
import { akDefects } from '../../../src/core/tpm/key-defects.ts'
import { makeCredential, parseCredentialBlob } from '../../../src/core/tpm/make-credential.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const AK_NAME = Buffer.alloc(34, 5)
const SECRET = Buffer.alloc(20, 6)

/** TPM2B_PUBLIC: name, head and key are those of the bytes; a challenge can be made for it or is refused. */
export const publicArea: Target = {
  seeds: () => [
    ...['ak.pub', 'ek.pub'].map((file) => machineFile('secure-boot-ima-ng', file)),
    machineFile('quote-ecc', 'ak.pub'),
    eccStorageKey(),
  ],
  run(input) {
    const area = unlessRefused(['malformed'], () => parsePublicArea(input))
    if (!area) return
    const { bytes, type, nameAlg, attributes, policy, name, key, keyBits } = area
    demand(sized(bytes).equals(input), 'the bytes are not those that came')
    const head = Buffer.concat([u16(type === 'rsa' ? 0x0001 : 0x0023), u16(hashAlgOf(nameAlg)), u32(attributes), sized(policy)])
    demand(bytes.subarray(0, head.length).equals(head), 'the head is another when it is written again')
    demand(name.equals(Buffer.concat([u16(hashAlgOf(nameAlg)), createHash(nameAlg).update(bytes).digest()])), 'the name is wrong')
    const jwk = key.export({ format: 'jwk' })
    const parts = type === 'rsa' ? [jwk.n!] : [jwk.x!, jwk.y!]
    for (const part of parts) {
      const value = Buffer.from(part, 'base64url')
      const shortest = value.subarray(value.findIndex((byte) => byte !== 0))
      demand(bytes.includes(shortest), 'the key holds a number that is not in the bytes')
    }
    demand(type !== 'rsa' || key.asymmetricKeyDetails!.modulusLength! <= keyBits, 'the key is longer than is declared')
    akDefects(area)
    const random = (count: number) => Buffer.alloc(count, 0x11)
    const blob = unlessRefused(['invalid_request', 'tpm_failed'], () =>
      makeCredential({ ek: area, akName: AK_NAME, secret: SECRET, random }),
    )
    if (blob) parseCredentialBlob(blob)
  },
}

/** An EK as ECC: made of an RSA one's head, which no vector has. */
function eccStorageKey(): Buffer {
  const point = machineFile('quote-ecc', 'ak.pub').subarray(-68)
  const head = Buffer.from('0023000b000300b20000000600800043001000030010', 'hex')
  return sized(Buffer.concat([head, point]))
}
