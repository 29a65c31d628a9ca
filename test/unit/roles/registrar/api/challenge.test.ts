import { constants, createDecipheriv, createHmac, privateDecrypt } from 'node:crypto'
import { createKeyedLock } from '../../../../../src/core/concurrency/keyed-lock.ts'
import { RateLimiter } from '../../../../../src/core/concurrency/rate-limiter.ts'
import { registrationTag } from '../../../../../src/core/payload/auth-tag.ts'
import { sized, u32 } from '../../../../../src/core/tpm/byte-writer.ts'
import { parseCredentialBlob } from '../../../../../src/core/tpm/make-credential.ts'
import { parsePublicArea } from '../../../../../src/core/tpm/public-area.ts'
import { ekTemplate } from '../../../../../src/core/tpm/templates.ts'
import { REGISTRAR_MIGRATIONS } from '../../../../../src/io/db/registrar-schema.ts'
import { registrarStore } from '../../../../../src/io/db/registrar-store.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import { activateAgent } from '../../../../../src/roles/registrar/api/activate-agent.ts'
import { registerAgent } from '../../../../../src/roles/registrar/api/register-agent.ts'
import type { RegistrarContext } from '../../../../../src/roles/registrar/api/registrar-context.ts'
import { DATABASES, type DatabaseName, testDatabases } from '../../../../databases.ts'
import { rsaKeyPair } from '../../../../rsa-keys.ts'
import { softwareAk } from '../../../../software-ak.ts'

const MINUTE = 60_000
const pair = rsaKeyPair()
const AK = softwareAk('ecc')

/** An endorsement key in software, as its TPM's template has it. */
function softwareEk(): Buffer {
  const template = ekTemplate('rsa2048')!.public.subarray(2)
  const modulus = Buffer.from(pair.publicKey.export({ format: 'jwk' }).n!, 'base64url')
  return sized(Buffer.concat([template.subarray(0, template.length - 258), sized(modulus)]))
}

/** What TPM2_ActivateCredential does (Part 1, section 24): the seed of the challenge, and its secret. */
function opened(reply: unknown): { seed: string; secret: Buffer } {
  const { idObject, encryptedSecret } = parseCredentialBlob(Buffer.from((reply as { results: { blob: string } }).results.blob, 'base64'))
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from('IDENTITY\0') }
  const seed = privateDecrypt({ key: pair.privateKey, ...padding }, encryptedSecret)
  const { name } = parsePublicArea(AK.public)
  const storageKey = createHmac('sha256', seed).update(u32(1)).update('STORAGE\0').update(name).update(u32(128)).digest().subarray(0, 16)
  const integrityBytes = 2 + 32
  const plain = createDecipheriv('aes-128-cfb', storageKey, Buffer.alloc(16)).update(idObject.subarray(integrityBytes))
  return { seed: seed.toString('hex'), secret: plain.subarray(2, 2 + plain.readUInt16BE()) }
}

const databases = testDatabases()

async function registrarOn(kind: DatabaseName) {
  let now = 1_700_000_000_000
  const db = await databases.open(kind, 'registrar', REGISTRAR_MIGRATIONS)
  const context: RegistrarContext = {
    store: registrarStore(db),
    clock: { now: () => now, monotonic: () => now },
    logger: silentLogger,
    rules: { identity: 'default', malformed: 'warn', sameTpm: 'refuse', unknownTpm: 'accept' },
    makerCertificates: () => [],
    agentLock: createKeyedLock(),
    wrongAnswers: new RateLimiter({ ofPeer: { perSecond: 1, burst: 5 }, ofAll: { perSecond: 1, burst: 5 } }),
  }
  const request = (body: object) => ({ params: { id: 'a' }, body, remoteAddress: '192.0.2.1' }) as never
  const keys = { ek_tpm: softwareEk().toString('base64'), aik_tpm: AK.public.toString('base64') }
  return {
    register: async () => registerAgent(context)(request(keys)),
    answer: async (secret: Buffer) => activateAgent(context)(request({ auth_tag: registrationTag(secret, 'a') })),
    pass: (ms: number) => (now += ms),
  }
}

describe.each(DATABASES)('%s', (kind) => {
  const registrar = () => registrarOn(kind)

  test('each challenge has a secret and a seed of its own', async () => {
    const { register } = await registrar()
    const challenges = [opened(await register()), opened(await register()), opened(await register())]
    expect(new Set(challenges.map(({ seed }) => seed)).size).toBe(3)
    expect(new Set(challenges.map(({ secret }) => secret.toString())).size).toBe(3)
    for (const { secret } of challenges) expect(secret.toString()).toMatch(/^[A-Za-z0-9]{32}$/)
  })

  test('an answer counts for five minutes', async () => {
    const { register, answer, pass } = await registrar()
    const { secret } = opened(await register())
    pass(5 * MINUTE - 1)
    expect(await answer(secret)).toEqual({})
  })

  test('and not a moment longer, also while a later challenge waits', async () => {
    const { register, answer, pass } = await registrar()
    const { secret } = opened(await register())
    pass(5 * MINUTE)
    await expect(answer(secret)).rejects.toMatchObject({ code: 'agent_not_found' })
    const again = await registrar()
    const first = opened(await again.register())
    again.pass(4 * MINUTE)
    await again.register()
    again.pass(MINUTE)
    await expect(again.answer(first.secret)).rejects.toMatchObject({ code: 'invalid_request' })
  })
})
