import type { UnknownTpm } from '../../../../../src/core/api/unknown-tpm.ts'
import { createKeyedLock } from '../../../../../src/core/concurrency/keyed-lock.ts'
import { RateLimiter } from '../../../../../src/core/concurrency/rate-limiter.ts'
import { ekHashes } from '../../../../../src/core/identity/expected-tpm.ts'
import { registrationTag } from '../../../../../src/core/payload/auth-tag.ts'
import { REGISTRAR_MIGRATIONS, type RegistrarTables } from '../../../../../src/io/db/registrar-schema.ts'
import { registrarStore } from '../../../../../src/io/db/registrar-store.ts'
import type { Route } from '../../../../../src/io/http/route.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import type { RegistrarContext } from '../../../../../src/roles/registrar/api/registrar-context.ts'
import { registrarRoutes } from '../../../../../src/roles/registrar/api/routes.ts'
import { testDatabases } from '../../../../databases.ts'
import { softwareAk } from '../../../../software-ak.ts'
import { activateCredential, type SoftwareEk, softwareEk } from '../../../../software-ek.ts'
import { NOW } from '../../../core/pki/fixtures.ts'
import { certified, LIAR, MAKER } from './ek-makers.ts'

const databases = testDatabases()

/** The registrar as agents call it. @returns what the answer to a proof gives back. */
async function registrarWith(unknownTpm: UnknownTpm) {
  const db = await databases.open<RegistrarTables>('SQLite', 'registrar', REGISTRAR_MIGRATIONS)
  const context: RegistrarContext = {
    store: registrarStore(db as never),
    clock: { now: () => NOW, monotonic: () => NOW },
    logger: silentLogger,
    rules: { identity: 'default', malformed: 'warn', sameTpm: 'refuse', unknownTpm },
    makerCertificates: () => [MAKER.certificate],
    agentLock: createKeyedLock(),
    wrongAnswers: new RateLimiter({ ofPeer: { perSecond: 1, burst: 5 }, ofAll: { perSecond: 1, burst: 5 } }),
  }
  const call = async (method: Route['method'], id: string, body: object) => {
    const route = registrarRoutes(context).find((one) => one.method === method && one.path === '/v:version/agents/:id')!
    return route.handle({ params: { id }, body, path: '', peer: { kind: 'anonymous' }, remoteAddress: '192.0.2.1' } as never)
  }
  const register = async (id: string, ek: SoftwareEk, more: object = {}, ak = softwareAk('ecc')) => {
    const keys = { ek_tpm: ek.public.toString('base64'), aik_tpm: ak.public.toString('base64'), ip: '10.0.0.7' }
    const asked = await call('POST', id, { ...keys, ...more })
    expect(asked.provedTpm).toBeUndefined() // whoever only asks has proved nothing
    const { blob } = asked.results as { blob: string }
    const auth_tag = registrationTag(activateCredential(ek, ak.public, Buffer.from(blob, 'base64')), id)
    return (await call('PUT', id, { auth_tag })).provedTpm
  }
  return { context, call, register }
}

test('a TPM that a maker vouches for has proved itself, each time that it registers', async () => {
  const { register } = await registrarWith('accept')
  const ek = softwareEk()
  const ak = softwareAk('ecc')
  const ekcert = certified(ek)
  for (let i = 0; i < 2; i++) expect(await register('a', ek, { ekcert }, ak)).toBe(ekHashes(ek.public)[0])
})

test('an EK of software proves nothing, whatever certificate it brings', async () => {
  const { register } = await registrarWith('accept')
  expect(await register('none', softwareEk())).toBeUndefined()
  const ek = softwareEk()
  expect(await register('liar', ek, { ekcert: certified(ek, LIAR) })).toBeUndefined()
})

test('where operators say who may register, their word is enough; who waits for it has proved nothing', async () => {
  const { context, register } = await registrarWith('approve')
  expect(await register('waits', softwareEk())).toBeUndefined()
  const ek = softwareEk()
  const said = { verdict: 'expected', agentId: null, note: '', addedAt: NOW, addedBy: 'carol' } as const
  await context.store.expected.put({ kind: 'ek_hash', digits: ekHashes(ek.public)[0]!, ...said })
  expect(await register('expected', ek)).toBe(ekHashes(ek.public)[0])
})

test('a wrong answer gives nothing back', async () => {
  const { call } = await registrarWith('accept')
  const ek = softwareEk()
  const keys = { ek_tpm: ek.public.toString('base64'), aik_tpm: softwareAk('ecc').public.toString('base64'), ip: '10.0.0.7' }
  await call('POST', 'a', { ...keys, ekcert: certified(ek) })
  await expect(call('PUT', 'a', { auth_tag: 'ab'.repeat(48) })).rejects.toMatchObject({ code: 'invalid_request' })
})
