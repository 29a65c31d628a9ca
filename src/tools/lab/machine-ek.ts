import {
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { toPem } from '../../core/pki/certificate.ts'
import { curveNamed, hashNameOf } from '../../core/tpm/algorithms.ts'
import { ByteReader } from '../../core/tpm/byte-reader.ts'
import { sized, u32 } from '../../core/tpm/byte-writer.ts'
import { parseCredentialBlob } from '../../core/tpm/make-credential.ts'
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
  const { x, y } = publicKey.export({ format: 'jwk' })
  const unique = Buffer.concat([x, y].map((text) => sized(Buffer.from(text!, 'base64url'))))
  return { public: sized(Buffer.concat([area.subarray(0, area.length - unique.length), unique])), publicKey, privateKey }
}

const { head: POINT_HEAD, size: POINT_SIZE } = curveNamed('P-256')

/** TPM2_ActivateCredential (Part 1, section 24). @param ak TPM2B_PUBLIC of the key that is loaded beside the EK. @returns the secret of a challenge. */
export function activateCredential(ek: MachineEk, ak: Buffer, blob: Buffer): Buffer {
  const { idObject, encryptedSecret } = parseCredentialBlob(blob)
  const ephemeral = new ByteReader(encryptedSecret, 'the encrypted secret')
  const [x, y] = [ephemeral.sized(), ephemeral.sized()]
  const z = diffieHellman({ privateKey: ek.privateKey, publicKey: createPublicKey(toPem(Buffer.concat([POINT_HEAD, x, y]), 'PUBLIC KEY')) })
  const ekX = ek.public.subarray(-2 - 2 * POINT_SIZE, -2 - POINT_SIZE)
  const seed = createHash('sha256').update(u32(1)).update(z).update('IDENTITY\0').update(x).update(ekX).digest()
  const secret = createSecretKey(seed)
  const key = createHmac('sha256', secret).update(u32(1)).update('STORAGE\0').update(nameOf(ak)).update(u32(128)).digest().subarray(0, 16)
  const reader = new ByteReader(idObject, 'the id object')
  reader.sized() // integrity: a wrong name shows in the secret
  const rest = idObject.subarray(2 + idObject.readUInt16BE(0))
  const decipher = createDecipheriv('aes-128-cfb', createSecretKey(key), Buffer.alloc(16))
  return new ByteReader(Buffer.concat([decipher.update(rest), decipher.final()]), 'the credential').sized()
}

/** TPM2B_NAME's content (Part 1, section 16). @param object TPM2B_PUBLIC; its key is not read. */
function nameOf(object: Buffer): Buffer {
  const area = object.subarray(2)
  const algorithm = area.subarray(2, 4)
  return Buffer.concat([algorithm, createHash(hashNameOf(algorithm.readUInt16BE())).update(area).digest()])
}
