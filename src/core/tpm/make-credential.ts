import { constants, createCipheriv, createECDH, createHash, createHmac, createSecretKey, type ECDH, publicEncrypt } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { spkiOf } from '../spki.ts'
import { curveNamed, digestSize, type HashName, TPM_ALG } from './algorithms.ts'
import { ByteReader } from './byte-reader.ts'
import { sized, u32 } from './byte-writer.ts'
import type { PublicArea } from './public-area.ts'

const BLOB_MAGIC = 0xbadcc0de
const BLOB_VERSION = 1
const AES_BITS = [128, 192, 256]
const EMPTY = Buffer.alloc(0)

export interface CredentialRequest {
  /** Storage key of the TPM that shall recover the secret: the EK. */
  ek: PublicArea
  /** TPM name of the key that must be loaded beside it: the AK. */
  akName: Buffer
  /** At most as long as the digest of the EK's name algorithm. */
  secret: Buffer
  /** Source of randomness for the seed, or for the ephemeral ECC key: `count` bytes. */
  random: (count: number) => Buffer
}

/**
 * TPM2_MakeCredential without a TPM (Part 1, section 24), in the file form that Keylime sends as `blob` (protocol 2.9).
 * Only a TPM that holds the private EK and an object named `akName` can recover the secret.
 * @throws KeylimeError `invalid_request` when the EK is no storage key or the secret is too long.
 */
export function makeCredential({ ek, akName, secret, random }: CredentialRequest): Buffer {
  const hash = ek.nameAlg
  const size = digestSize(hash)
  if (ek.symmetric?.algorithm !== TPM_ALG.AES || !AES_BITS.includes(ek.symmetric.keyBits))
    throw new KeylimeError('invalid_request', 'the endorsement key is not a storage key: it has no symmetric algorithm that is known here')
  if (secret.length > size)
    throw new KeylimeError('invalid_request', `the secret of ${secret.length} bytes is longer than the EK's name digest`)
  const { seed, encryptedSecret } = ek.type === 'rsa' ? rsaSeed(ek, random(size)) : eccSeed(ek, random)
  const storageKey = kdfa(hash, seed, { label: 'STORAGE', context: akName, bits: ek.symmetric.keyBits })
  const cipher = createCipheriv(`aes-${ek.symmetric.keyBits}-cfb`, createSecretKey(storageKey), Buffer.alloc(16))
  const encIdentity = Buffer.concat([cipher.update(sized(secret)), cipher.final()])
  const integrityKey = kdfa(hash, seed, { label: 'INTEGRITY', context: EMPTY, bits: size * 8 })
  const integrity = createHmac(hash, createSecretKey(integrityKey)).update(encIdentity).update(akName).digest()
  return Buffer.concat([u32(BLOB_MAGIC), u32(BLOB_VERSION), sized(Buffer.concat([sized(integrity), encIdentity])), sized(encryptedSecret)])
}

/** Splits a credential blob into the two parameters of TPM2_ActivateCredential. @throws KeylimeError `malformed`. */
export function parseCredentialBlob(blob: Uint8Array): { idObject: Buffer; encryptedSecret: Buffer } {
  const reader = new ByteReader(blob, 'credential blob')
  if (reader.u32() !== BLOB_MAGIC || reader.u32() !== BLOB_VERSION)
    throw new KeylimeError('malformed', 'not a credential blob (wrong magic or version)')
  const idObject = reader.sized()
  const encryptedSecret = reader.sized()
  reader.end()
  return { idObject, encryptedSecret }
}

function rsaSeed(ek: PublicArea, seed: Buffer) {
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  const oaep = { padding, oaepHash: ek.nameAlg, oaepLabel: Buffer.from('IDENTITY\0') }
  try {
    return { seed, encryptedSecret: publicEncrypt({ key: ek.key, ...oaep }, seed) }
  } catch (cause) {
    throw new KeylimeError('invalid_request', `an endorsement key of ${ek.keyBits} bits cannot encrypt a challenge`, { cause })
  }
}

function eccSeed(ek: PublicArea, random: (count: number) => Buffer) {
  const curve = curveNamed(ek.curve!)
  const ekPoint = spkiOf(ek.key).subarray(-1 - 2 * curve.size) // 04, x and y: a public area has no compressed points
  const ekX = ekPoint.subarray(1, 1 + curve.size)
  const ephemeral = ephemeralKey(curve.openssl, curve.size, random)
  const point = ephemeral.getPublicKey()
  const x = point.subarray(1, 1 + curve.size)
  const y = point.subarray(1 + curve.size)
  const z = ephemeral.computeSecret(ekPoint)
  const shared = Buffer.concat([Buffer.alloc(curve.size - z.length), z])
  return { seed: kdfe(ek.nameAlg, shared, x, ekX), encryptedSecret: Buffer.concat([sized(x), sized(y)]) }
}

/** A random scalar that is out of range is rare; then another is drawn. */
function ephemeralKey(name: string, size: number, random: (count: number) => Buffer): ECDH {
  for (let tries = 0; tries < 128; tries++) {
    const scalar = random(size)
    if (name === 'secp521r1') scalar[0]! &= 1
    try {
      const ecdh = createECDH(name)
      ecdh.setPrivateKey(scalar)
      return ecdh
    } catch {}
  }
  throw new KeylimeError('tpm_failed', 'the source of randomness gave no usable ECC key')
}

/** KDFa (Part 1, section 11.4.10.2): SP 800-108 in counter mode with HMAC; contextV is always empty here. */
function kdfa(hash: HashName, key: Buffer, { label, context, bits }: { label: string; context: Buffer; bits: number }): Buffer {
  const blocks: Buffer[] = []
  const secret = createSecretKey(key) // of bytes Node finds out first, by an exception, that they are no key
  for (let i = 1, length = 0; length * 8 < bits; i++, length += digestSize(hash))
    blocks.push(createHmac(hash, secret).update(u32(i)).update(`${label}\0`).update(context).update(u32(bits)).digest())
  return Buffer.concat(blocks).subarray(0, bits / 8)
}

/** KDFe (Part 1, section 11.4.10.3) for one block: the seed has the digest's size. */
const kdfe = (hash: HashName, z: Buffer, partyU: Buffer, partyV: Buffer): Buffer =>
  createHash(hash).update(u32(1)).update(z).update('IDENTITY\0').update(partyU).update(partyV).digest()
