import { createCipheriv, createDecipheriv } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { ByteReader } from '../tpm/byte-reader.ts'
import { sized } from '../tpm/byte-writer.ts'
import { makeCredential } from '../tpm/make-credential.ts'
import type { PublicArea } from '../tpm/public-area.ts'

const KEY_SIZE = 32
const IV_SIZE = 12
const TAG_SIZE = 16

/** For whom a share is sealed, and for which delivery. */
export interface SealingContext {
  readonly agentId: string
  /** Names the delivery: see `DeliveryOrder`. */
  readonly enrolment: string
}

export interface SealingRequest extends SealingContext {
  /** The EK of which the certificate was verified. */
  readonly ek: PublicArea
  /** TPM name of the AK that the registrar bound to this EK. */
  readonly akName: Buffer
  /** U. */
  readonly share: Uint8Array
  random(count: number): Buffer
}

/**
 * Seals U to one TPM: a credential (TPM2_MakeCredential, Part 1, section 24) for its EK and the name of its AK wraps the key of an AES-256-GCM. The verifier that keeps it, and whoever
 * has its disk, can open nothing. @returns base64 of: TPM2B credential blob, IV, ciphertext, tag. @throws KeylimeError `invalid_request` for an EK that is no storage key.
 */
export function sealShare({ ek, akName, share, random, ...context }: SealingRequest): string {
  const key = random(KEY_SIZE)
  const iv = random(IV_SIZE)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(boundTo(context))
  const body = Buffer.concat([cipher.update(share), cipher.final()])
  const credential = makeCredential({ ek, akName, secret: key, random })
  key.fill(0)
  return Buffer.concat([sized(credential), iv, body, cipher.getAuthTag()]).toString('base64')
}

/** What a TPM must open first. @returns the credential blob of a sealed share. @throws KeylimeError `malformed`. */
export const credentialOf = (sealed: string): Buffer => split(sealed).credential

/** U. @param secret what TPM2_ActivateCredential gave for `credentialOf`. @throws KeylimeError `decryption_failed`: of another TPM, machine or delivery, or changed. */
export function openSealedShare(sealed: string, secret: Uint8Array, context: SealingContext): Buffer {
  const { iv, body, tag } = split(sealed)
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret, iv, { authTagLength: TAG_SIZE }).setAAD(boundTo(context)).setAuthTag(tag)
    return Buffer.concat([decipher.update(body), decipher.final()])
  } catch (cause) {
    throw new KeylimeError('decryption_failed', 'the sealed key share is not for this machine and this delivery, or was changed', {
      cause,
      hint: AGAIN,
    })
  }
}

const boundTo = ({ agentId, enrolment }: SealingContext): Buffer => Buffer.from(`keylime sealed share 1\0${agentId}\0${enrolment}`, 'utf8')

function split(sealed: string): { credential: Buffer; iv: Buffer; body: Buffer; tag: Buffer } {
  const bytes = Buffer.from(sealed, 'base64')
  const credential = new ByteReader(bytes, 'the sealed key share').sized()
  const rest = bytes.subarray(2 + credential.length)
  if (rest.length <= IV_SIZE + TAG_SIZE)
    throw new KeylimeError('malformed', `the sealed key share of ${bytes.length} bytes is too short`, { hint: AGAIN })
  return {
    credential,
    iv: rest.subarray(0, IV_SIZE),
    body: rest.subarray(IV_SIZE, rest.length - TAG_SIZE),
    tag: rest.subarray(rest.length - TAG_SIZE),
  }
}

const AGAIN = 'deliver again with `keylime tenant update` and the payload'
