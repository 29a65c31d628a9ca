import { createHash, createPublicKey } from 'node:crypto'
import { createKeyedLock } from '../../../../../src/core/concurrency/keyed-lock.ts'
import { RateLimiter } from '../../../../../src/core/concurrency/rate-limiter.ts'
import { tpmOf } from '../../../../../src/core/identity/tpm-of-record.ts'
import { registrationTag } from '../../../../../src/core/payload/auth-tag.ts'
import { parsePublicArea } from '../../../../../src/core/tpm/public-area.ts'
import { REGISTRAR_MIGRATIONS } from '../../../../../src/io/db/registrar-schema.ts'
import { registrarStore } from '../../../../../src/io/db/registrar-store.ts'
import type { Logger } from '../../../../../src/io/log/logger.ts'
import { activateAgent } from '../../../../../src/roles/registrar/api/activate-agent.ts'
import { registerAgent } from '../../../../../src/roles/registrar/api/register-agent.ts'
import type { RegistrarContext } from '../../../../../src/roles/registrar/api/registrar-context.ts'
import { forgetRevocation, revokeAgent } from '../../../../../src/roles/registrar/api/revocation-marks.ts'
import { DATABASES, type DatabaseName, testDatabases } from '../../../../databases.ts'
import { type SoftwareAk, softwareAk, softwareCertify } from '../../../../software-ak.ts'
import { activateCredential, type SoftwareEk, softwareEk } from '../../../../software-ek.ts'
import { der, extension, handMade, NOW, oid, root } from '../../../core/pki/fixtures.ts'

const MAKER = await root('Maker')
/** A chip: its IAK and IDevID, and the serial that its maker gave it. */
const chip = (serial: string) => ({ serial, iak: softwareAk('ecc'), idevid: softwareAk('ecc') })
type Chip = ReturnType<typeof chip>

function certified(key: SoftwareAk | SoftwareEk, serial?: string): string {
  const module = serial && der(0x30, oid('6781050102'), der(0x04, Buffer.from(serial)))
  const names = module && der(0x30, der(0xa0, oid('2b06010505070804'), der(0xa0, module)))
  const extensions = names ? [extension('551d11', false, names)] : []
  const name = { subject: der(0x30), issuer: MAKER.certificate.subjectName.der }
  return handMade({ ...name, key: MAKER.key, publicKey: createPublicKey(key.privateKey), extensions }).toString('base64')
}

function deviceOf(id: string, ak: SoftwareAk, { serial, iak, idevid }: Chip): object {
  const statement = softwareCertify(iak, {
    name: parsePublicArea(ak.public).name,
    qualifyingData: createHash('sha256').update(id).digest(),
  })
  return {
    ...{ iak_tpm: iak.public.toString('base64'), iak_cert: certified(iak, serial) },
    ...{ idevid_tpm: idevid.public.toString('base64'), idevid_cert: certified(idevid, serial) },
    ...{ iak_attest: statement.attest.toString('base64'), iak_sign: statement.signature.toString('base64') },
  }
}

const databases = testDatabases()

async function registrarOn(kind: DatabaseName, sameTpm: 'refuse' | 'allow' = 'refuse') {
  const warnings: string[] = []
  const logger = { info: () => {}, warn: (text: string) => warnings.push(text), error: () => {}, debug: () => {} } as unknown as Logger
  const context: RegistrarContext = {
    store: registrarStore(await databases.open(kind, 'registrar', REGISTRAR_MIGRATIONS)),
    clock: { now: () => NOW, monotonic: () => NOW },
    logger,
    rules: { identity: 'default', malformed: 'warn', sameTpm, unknownTpm: 'accept' },
    makerCertificates: () => [MAKER.certificate],
    agentLock: createKeyedLock(),
    wrongAnswers: new RateLimiter({ ofPeer: { perSecond: 1, burst: 5 }, ofAll: { perSecond: 1, burst: 5 } }),
  }
  const request = (id: string, body: object) => ({ params: { id }, body, remoteAddress: '192.0.2.1' }) as never
  const ask = async (id: string, ek: SoftwareEk, ak: SoftwareAk, more: object = {}) => {
    const body = { ek_tpm: ek.public.toString('base64'), aik_tpm: ak.public.toString('base64'), ...more }
    const { results } = (await registerAgent(context)(request(id, body))) as { results: { blob: string } }
    const secret = activateCredential(ek, ak.public, Buffer.from(results.blob, 'base64'))
    return { answer: async () => activateAgent(context)(request(id, { auth_tag: registrationTag(secret, id) })) }
  }
  const enrol = async (id: string, ek: SoftwareEk, ak: SoftwareAk, more: object = {}) => (await ask(id, ek, ak, more)).answer()
  const revoke = async (id: string) => revokeAgent(context)(request(id, {}))
  const forget = async (id: string) => forgetRevocation(context)(request(id, {}))
  return { ask, enrol, revoke, forget, warnings, context }
}

const REFUSED = { code: 'forbidden', message: expect.stringContaining('one TPM may have one id') }
const withCertificate = (ek: SoftwareEk) => ({ ekcert: certified(ek) })

describe.each(DATABASES)('%s', (kind) => {
  const registrar = (sameTpm?: 'refuse' | 'allow') => registrarOn(kind, sameTpm)

  test.each<[string, (first: Chip) => Chip, boolean]>([
    ['the same IAK and IDevID', (first) => first, true],
    ['another IAK', (first) => ({ ...first, iak: softwareAk('ecc') }), true],
    ['another IDevID', (first) => ({ ...first, idevid: softwareAk('ecc') }), true],
    ['the serial alone', ({ serial }) => chip(serial), true],
    ['nothing in common', () => chip('another'), false],
  ])('a second EK of one chip gets no second id: %s', async (_what, second, isSame) => {
    const { enrol, ask } = await registrar()
    const [first, ak, other] = [chip('1234'), softwareAk('ecc'), softwareAk('ecc')]
    const racing = await ask('b', softwareEk(), other, deviceOf('b', other, second(first)))
    await enrol('a', softwareEk(), ak, deviceOf('a', ak, first))
    if (!isSame) return expect(await racing.answer()).toEqual({})
    await expect(racing.answer()).rejects.toMatchObject(REFUSED) // asked before the first one was active
    await expect(ask('c', softwareEk(), other, deviceOf('c', other, second(first)))).rejects.toMatchObject(REFUSED)
  })

  test('two ids of one chip that answer in the same moment: one gets it, and nobody beside them is kept out', async () => {
    const { ask, context } = await registrar()
    const shared = chip('1234')
    const asking = ['a', 'b', 'c'].map((id) => {
      const ak = softwareAk('ecc')
      return ask(id, softwareEk(), ak, deviceOf(id, ak, id === 'c' ? chip('another') : shared))
    })
    const asked = await Promise.all(asking)
    const [first, second, other] = await Promise.allSettled(asked.map(({ answer }) => answer()))
    expect(other).toMatchObject({ status: 'fulfilled' })
    const refused = [first, second].filter((result) => result?.status === 'rejected')
    expect(refused).toEqual([{ status: 'rejected', reason: expect.objectContaining(REFUSED) }])
    expect(await context.store.list()).toEqual([first?.status === 'fulfilled' ? 'a' : 'b', 'c'])
  })

  test('where an operator allows it, or the other registration has ended, it is taken', async () => {
    const [first, ak] = [chip('1234'), softwareAk('ecc')]
    const { enrol, context, warnings } = await registrar('allow')
    await enrol('a', softwareEk(), ak, deviceOf('a', ak, first))
    const other = softwareAk('ecc')
    await enrol('b', softwareEk(), other, deviceOf('b', other, first))
    expect(warnings.join()).toContain('the TPM of agent b is registered under other ids too')
    expect(await context.store.othersOfTpm(tpmOf((await context.store.find('a'))!))).toEqual(['b'])
    const strict = await registrar()
    await strict.enrol('a', softwareEk(), ak, deviceOf('a', ak, first))
    await strict.context.store.delete('a')
    await strict.enrol('b', softwareEk(), other, deviceOf('b', other, first))
  })

  test('a chip that was revoked comes back by none of its EKs until it is forgotten', async () => {
    const { enrol, ask, revoke, forget } = await registrar()
    const [stolen, ak, other] = [chip('1234'), softwareAk('ecc'), softwareAk('ecc')]
    await enrol('a', softwareEk(), ak, deviceOf('a', ak, stolen))
    await revoke('a')
    const again = () => ask('b', softwareEk(), other, deviceOf('b', other, { ...stolen, iak: softwareAk('ecc') }))
    await expect(again()).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining('was revoked by an operator') })
    await forget('a')
    expect(await (await again()).answer()).toEqual({})
  })

  describe('an AK under two ids', () => {
    test('is refused where a maker vouches for the EK that it was registered with', async () => {
      const { enrol } = await registrar()
      const [ek, second, ak] = [softwareEk(), softwareEk(), softwareAk('ecc')]
      const own = withCertificate(ek)
      await enrol('a', ek, ak, own)
      await expect(enrol('b', second, ak, withCertificate(second))).rejects.toMatchObject(REFUSED)
      await expect(enrol('c', second, ak)).rejects.toMatchObject(REFUSED)
      expect(await enrol('a', ek, ak, own)).toEqual({ provedTpm: expect.any(String) })
    })

    test('keeps nobody out where nobody vouches: with an EK of software anybody can answer for the AK of another', async () => {
      const { enrol } = await registrar()
      const [victim, ak] = [softwareEk(), softwareAk('ecc')]
      const software = softwareEk()
      await enrol('squatter', software, ak)
      expect(await enrol('victim', victim, ak, withCertificate(victim))).toEqual({ provedTpm: expect.any(String) })
      await expect(enrol('squatter', software, ak)).rejects.toMatchObject(REFUSED) // from now on it is known whose AK it is
    })

    test('and one that was revoked does not come back by another EK', async () => {
      const { enrol, revoke, forget } = await registrar()
      const [ek, second, ak] = [softwareEk(), softwareEk(), softwareAk('ecc')]
      await enrol('stolen', ek, ak, withCertificate(ek))
      await revoke('stolen')
      await expect(enrol('again', second, ak)).rejects.toMatchObject({ message: expect.stringContaining('was revoked by an operator') })
      await forget('stolen')
      expect(await enrol('again', second, ak)).toEqual({})
    })
  })
})
