import { createDecipheriv, createHash, createHmac, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { ByteReader } from '../../core/tpm/byte-reader.ts'
import { sized, u32 } from '../../core/tpm/byte-writer.ts'
import { parseCredentialBlob } from '../../core/tpm/make-credential.ts'
import { parsePublicArea } from '../../core/tpm/public-area.ts'
import { ekTemplate } from '../../core/tpm/templates.ts'

/** An endorsement key in software, P-256: it activates credentials as a TPM does that holds it and any attestation key. */
export interface MachineEk {
  /** TPM2B_PUBLIC */
  readonly public: Buffer
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export function machineEk(): MachineEk {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const area = ekTemplate('ecc256')!.public.subarray(2)
  const unique = Buffer.concat(pointOf(publicKey).map(sized))
  return { public: sized(Buffer.concat([area.subarray(0, area.length - unique.length), unique])), publicKey, privateKey }
}

/** TPM2_ActivateCredential (Part 1, section 24). @param ak TPM2B_PUBLIC of the key that is loaded beside the EK. @returns the secret of a challenge. */
export function activateCredential(ek: MachineEk, ak: Buffer, blob: Buffer): Buffer {
  const { idObject, encryptedSecret } = parseCredentialBlob(blob)
  const ephemeral = new ByteReader(encryptedSecret, 'the encrypted secret')
  const [x, y] = [ephemeral.sized(), ephemeral.sized()]
  const jwk = { kty: 'EC', crv: 'P-256', x: x.toString('base64url'), y: y.toString('base64url') }
  const z = diffieHellman({ privateKey: ek.privateKey, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) })
  const [ekX] = pointOf(createPublicKey(ek.privateKey))
  const seed = createHash('sha256').update(u32(1)).update(z).update('IDENTITY\0').update(x).update(ekX).digest()
  const { name } = parsePublicArea(ak)
  const key = createHmac('sha256', seed).update(u32(1)).update('STORAGE\0').update(name).update(u32(128)).digest().subarray(0, 16)
  const reader = new ByteReader(idObject, 'the id object')
  reader.sized() // integrity: a wrong name shows in the secret
  const rest = idObject.subarray(2 + idObject.readUInt16BE(0))
  const decipher = createDecipheriv('aes-128-cfb', key, Buffer.alloc(16))
  return new ByteReader(Buffer.concat([decipher.update(rest), decipher.final()]), 'the credential').sized()
}

const pointOf = (key: KeyObject) => {
  const { x, y } = key.export({ format: 'jwk' })
  return [Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')] as const
}
