import { createDecipheriv, createHash, createHmac, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { registrationTag } from '../src/core/payload/auth-tag.ts'
import { ByteReader } from '../src/core/tpm/byte-reader.ts'
import { sized, u32 } from '../src/core/tpm/byte-writer.ts'
import { parseCredentialBlob } from '../src/core/tpm/make-credential.ts'
import { parsePublicArea } from '../src/core/tpm/public-area.ts'
import { ekTemplate } from '../src/core/tpm/templates.ts'
import { openApiClient } from '../src/io/http/api-client.ts'
import type { SimulatedAgent } from './simulated-agent.ts'

/** An endorsement key in software, P-256: it activates credentials as a TPM does that holds it and any AK. */
export interface SoftwareEk {
  /** TPM2B_PUBLIC */
  public: Buffer
  privateKey: KeyObject
}

const point = (key: KeyObject) => {
  const { x, y } = key.export({ format: 'jwk' })
  return [Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')] as const
}

export function softwareEk(): SoftwareEk {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const area = ekTemplate('ecc256')!.public.subarray(2)
  const unique = Buffer.concat(point(publicKey).map(sized))
  return { public: sized(Buffer.concat([area.subarray(0, area.length - unique.length), unique])), privateKey }
}

/** TPM2_ActivateCredential (Part 1, section 24). @param ak TPM2B_PUBLIC of the key that is loaded beside the EK. */
export function activateCredential(ek: SoftwareEk, ak: Buffer, blob: Buffer): Buffer {
  const { idObject, encryptedSecret } = parseCredentialBlob(blob)
  const ephemeral = new ByteReader(encryptedSecret, 'the encrypted secret')
  const [x, y] = [ephemeral.sized(), ephemeral.sized()]
  const jwk = { kty: 'EC', crv: 'P-256', x: x.toString('base64url'), y: y.toString('base64url') }
  const z = diffieHellman({ privateKey: ek.privateKey, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) })
  const [ekX] = point(createPublicKey(ek.privateKey))
  const seed = createHash('sha256').update(u32(1)).update(z).update('IDENTITY\0').update(x).update(ekX).digest()
  const { name } = parsePublicArea(ak)
  const key = createHmac('sha256', seed).update(u32(1)).update('STORAGE\0').update(name).update(u32(128)).digest().subarray(0, 16)
  const reader = new ByteReader(idObject, 'the id object')
  reader.sized() // integrity: a wrong name shows in the secret
  const rest = idObject.subarray(2 + idObject.readUInt16BE(0))
  const decipher = createDecipheriv('aes-128-cfb', key, Buffer.alloc(16))
  return new ByteReader(Buffer.concat([decipher.update(rest), decipher.final()]), 'the credential').sized()
}

interface Registering {
  machine: SimulatedAgent
  ek: SoftwareEk
  ip?: string
}
interface Told {
  status: number
  message: string
}

/** Asks a real registrar for a challenge. @returns how it is answered, or why there is none. */
export async function askToRegister(
  port: number,
  id: string,
  { machine, ek, ip = '127.0.0.1' }: Registering,
): Promise<Told & { answer(): Promise<Told> }> {
  const request = async (method: 'POST' | 'PUT', body: object) => {
    const client = openApiClient({ url: `http://127.0.0.1:${port}`, name: 'registrar', timeoutSeconds: 30 })
    try {
      return await client.request(method, `/v2.6/agents/${id}`, { body })
    } finally {
      await client.close()
    }
  }
  const { status, message, results } = await request('POST', {
    ek_tpm: ek.public.toString('base64'),
    aik_tpm: machine.ak.public.toString('base64'),
    ip,
    port: machine.port,
    mtls_cert: machine.certificate,
  })
  return {
    status,
    message,
    async answer() {
      const secret = activateCredential(ek, machine.ak.public, Buffer.from((results as { blob: string }).blob, 'base64'))
      return request('PUT', { auth_tag: registrationTag(secret, id) })
    },
  }
}

/** Registers a simulated machine, as an agent does. @returns the status and text of the step that was refused, or 200. */
export async function registerMachine(port: number, id: string, registering: Registering): Promise<Told> {
  const asked = await askToRegister(port, id, registering)
  return asked.status === 200 ? asked.answer() : asked
}
