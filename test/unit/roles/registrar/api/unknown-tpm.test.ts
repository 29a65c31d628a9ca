import { createHash, createPublicKey } from 'node:crypto'
import { expectedTpms as expectedAnswer, waitingMachines as waitingAnswer } from '../../../../../src/core/api/expected-tpms.ts'
import type { UnknownTpm } from '../../../../../src/core/api/unknown-tpm.ts'
import { createKeyedLock } from '../../../../../src/core/concurrency/keyed-lock.ts'
import { RateLimiter } from '../../../../../src/core/concurrency/rate-limiter.ts'
import { ekHashes, serialDigits } from '../../../../../src/core/identity/expected-tpm.ts'
import { registrationTag } from '../../../../../src/core/payload/auth-tag.ts'
import { parseCertificate } from '../../../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../../../src/core/pki/issue.ts'
import { publicKeyPem } from '../../../../../src/core/pki/keys.ts'
import { expectedTpms } from '../../../../../src/io/db/expected-tpms.ts'
import { REGISTRAR_MIGRATIONS, type RegistrarTables } from '../../../../../src/io/db/registrar-schema.ts'
import { registrarStore } from '../../../../../src/io/db/registrar-store.ts'
import { waitingMachines } from '../../../../../src/io/db/waiting-machines.ts'
import type { Route } from '../../../../../src/io/http/route.ts'
import type { Logger } from '../../../../../src/io/log/logger.ts'
import type { RegistrarContext } from '../../../../../src/roles/registrar/api/registrar-context.ts'
import { registrarRoutes } from '../../../../../src/roles/registrar/api/routes.ts'
import { DATABASES, type DatabaseName, testDatabases } from '../../../../databases.ts'
import { softwareAk } from '../../../../software-ak.ts'
import { activateCredential, type SoftwareEk, softwareEk } from '../../../../software-ek.ts'
import { NOW } from '../../../core/pki/fixtures.ts'
import { certified, LIAR, MAKER } from './ek-makers.ts'

const databases = testDatabases()

/** The registrar's routes over a database, as an operator and as agents call them. */
async function registrarOn(kind: DatabaseName, unknownTpm: UnknownTpm) {
  const log: string[] = []
  const say = (text: string, facts?: object) => log.push(`${text} ${JSON.stringify(facts ?? {})}`)
  const db = await databases.open<RegistrarTables>(kind, 'registrar', REGISTRAR_MIGRATIONS)
  const context: RegistrarContext = {
    store: registrarStore(db as never),
    clock: { now: () => NOW, monotonic: () => NOW },
    logger: { info: say, warn: say, error: say, debug: () => {} } as unknown as Logger,
    rules: { identity: 'default', malformed: 'warn', sameTpm: 'refuse', unknownTpm },
    makerCertificates: () => [MAKER.certificate],
    agentLock: createKeyedLock(),
    wrongAnswers: new RateLimiter({ ofPeer: { perSecond: 1, burst: 5 }, ofAll: { perSecond: 1, burst: 5 } }),
  }
  const routes = () => registrarRoutes(context)
  const call = async (method: Route['method'], path: string, params: Record<string, string> = {}, body?: object) => {
    const route = routes().find((one) => one.method === method && one.path === `/v:version${path}`)!
    const peer = { kind: 'certificate', commonName: 'carol', sha256: '' }
    return ((await route.handle({ params, body, path, peer, remoteAddress: '192.0.2.1' } as never)) as { results: never }).results
  }
  const ask = async (id: string, ek: SoftwareEk, more: object = {}, ak = softwareAk('ecc')) => {
    const keys = { ek_tpm: ek.public.toString('base64'), aik_tpm: ak.public.toString('base64'), ip: '10.0.0.7' }
    const { blob } = (await call('POST', '/agents/:id', { id }, { ...keys, ...more })) as { blob: string }
    const tag = registrationTag(activateCredential(ek, ak.public, Buffer.from(blob, 'base64')), id)
    return () => call('PUT', '/agents/:id', { id }, { auth_tag: tag })
  }
  return {
    ...{ context, db, log, call, ask },
    enrol: async (id: string, ek: SoftwareEk, more: object = {}, ak = softwareAk('ecc')) => (await ask(id, ek, more, ak))(),
    show: (id: string) => call('GET', '/agents/:id', { id }),
    list: async () => ((await call('GET', '/agents')) as { uuids: string[] }).uuids,
    expect: (body: object) => call('POST', '/expected', {}, body),
    forget: (name: string) => call('DELETE', '/expected/:name', { name }),
    waiting: async () => waitingAnswer.parse(await call('GET', '/waiting')).waiting,
    approve: (id: string, body?: object) => call('PUT', '/agents/:id/approve', { id }, body),
    refuse: (id: string, body?: object) => call('PUT', '/agents/:id/refuse', { id }, body),
  }
}

const hashOf = (ek: SoftwareEk) => ekHashes(ek.public)[0]!
const refusedAs = (text: string) => ({ code: 'forbidden', message: expect.stringContaining(text), hint: expect.stringContaining('expect') })

describe.each(DATABASES)('%s', (kind) => {
  const registrar = (unknown: UnknownTpm) => registrarOn(kind, unknown)

  test('accept: an unknown TPM is registered, as ever', async () => {
    const { enrol, list, waiting } = await registrar('accept')
    await enrol('a', softwareEk())
    expect([await list(), await waiting()]).toEqual([['a'], []])
  })

  test('refuse: an unknown TPM is refused before anything is stored, and told by which hash it would be let in', async () => {
    const { ask, db, log, list } = await registrar('refuse')
    const ek = softwareEk()
    await expect(ask('a', ek)).rejects.toMatchObject(refusedAs(hashOf(ek)))
    expect(await db.selectFrom('pending_registrations').selectAll().execute()).toEqual([])
    expect(await list()).toEqual([])
    expect(log.join('\n')).toContain('agent a may not register: nobody expects this TPM')
  })

  test.each<[string, (ek: SoftwareEk) => string]>([
    ['its key as DER', (ek) => hashOf(ek)],
    [
      'its key as PEM, an id of hash_ek',
      (ek) =>
        createHash('sha256')
          .update(publicKeyPem(createPublicKey(ek.privateKey)))
          .digest('hex'),
    ],
    ['the name that TPM tools show', (ek) => `0x000B${createHash('sha256').update(ek.public.subarray(2)).digest('hex').toUpperCase()}`],
  ])('refuse: a TPM that is expected by the hash of %s registers, and no other', async (_what, hash) => {
    const { enrol, ask, expect: tell, list } = await registrar('refuse')
    const ek = softwareEk()
    await tell({ ek_hash: hash(ek) })
    await enrol('a', ek)
    await expect(ask('b', softwareEk())).rejects.toMatchObject(refusedAs('nobody expects this TPM'))
    expect(await list()).toEqual(['a'])
  })

  test('a TPM that is expected no more may not answer, and one that is registered stays so', async () => {
    const { ask, enrol, expect: tell, forget, list } = await registrar('refuse')
    const [ek, ak] = [softwareEk(), softwareAk('ecc')]
    await tell({ ek_hash: hashOf(ek) })
    const answer = await ask('a', ek, {}, ak)
    await forget(`ek-${hashOf(ek)}`)
    await expect(answer()).rejects.toMatchObject(refusedAs('nobody expects this TPM'))
    await tell({ ek_hash: hashOf(ek) })
    await enrol('a', ek, {}, ak)
    await forget(`ek-${hashOf(ek)}`)
    await enrol('a', ek, {}, ak)
    expect(await list()).toEqual(['a'])
    await expect(forget(`ek-${hashOf(ek)}`)).rejects.toMatchObject({ code: 'not_found' })
  })

  test('a serial counts only in a certificate of a maker whom the registrar trusts', async () => {
    const { ask, enrol, expect: tell, log } = await registrar('refuse')
    const [ek, other] = [softwareEk(), softwareEk()]
    const cert = (by: Authority, of: SoftwareEk) => ({ ekcert: certified(of, by) })
    await tell({ serial: '00:09' })
    await expect(ask('a', other, cert(LIAR, other))).rejects.toMatchObject(refusedAs('nobody expects this TPM'))
    expect(log.join('\n')).toContain('no maker in tpm_cert_store issued it')
    await expect(ask('a', ek)).rejects.toMatchObject(refusedAs('nobody expects this TPM')) // without a certificate
    await enrol('a', ek, cert(MAKER, ek))
  })

  test('an id that is expected of one TPM is never given to another, and that TPM takes no other id', async () => {
    for (const unknown of ['accept', 'approve', 'refuse'] as const) {
      const { ask, enrol, expect: tell, list, approve } = await registrar(unknown)
      const ek = softwareEk()
      await tell({ ek_hash: hashOf(ek), agent_id: 'rack-1' })
      await expect(ask('rack-1', softwareEk())).rejects.toMatchObject(refusedAs('another TPM is expected under the id rack-1'))
      if (unknown !== 'approve') await expect(ask('rack-2', ek)).rejects.toMatchObject(refusedAs('is expected under another id'))
      else {
        await enrol('rack-2', ek)
        await expect(approve('rack-2')).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('under another id') })
      }
      await enrol('rack-1', ek)
      expect(await list()).toEqual(['rack-1'])
    }
  })

  test('a TPM that may take any id does not take one that is expected of another', async () => {
    for (const unknown of ['accept', 'approve', 'refuse'] as const) {
      const { ask, enrol, expect: tell, list } = await registrar(unknown)
      const [ek, thief] = [softwareEk(), softwareEk()]
      await tell({ ek_hash: hashOf(thief) })
      await tell({ ek_hash: hashOf(ek), agent_id: 'rack-1' })
      await expect(ask('rack-1', thief)).rejects.toMatchObject(refusedAs('another TPM is expected under the id rack-1'))
      await enrol('rack-1', ek)
      await enrol('rack-2', thief)
      expect(await list()).toEqual(['rack-1', 'rack-2'])
    }
  })

  test('approve: the agent is told what any is, and its record is nobody’s until an operator approves it', async () => {
    const { enrol, show, list, waiting, approve, log } = await registrar('approve')
    const [ek, ak] = [softwareEk(), softwareAk('ecc')]
    const more = { ekcert: certified(ek) }
    await enrol('a', ek, more, ak)
    await expect(show('a')).rejects.toMatchObject({ code: 'agent_not_found', message: expect.stringContaining('waits for the approval') })
    expect(await list()).toEqual([])
    const serial = serialDigits(parseCertificate(more.ekcert))
    const since = new Date(NOW).toISOString()
    expect(await waiting()).toEqual([{ agent_id: 'a', ek_hash: hashOf(ek), serial, maker: expect.any(String), ip: '10.0.0.7', since }])
    await enrol('a', ek, more, ak) // once more, before anybody decided
    expect(await waiting()).toHaveLength(1)
    expect(await approve('a')).toEqual({ agent_id: 'a', ek_hash: hashOf(ek) })
    expect([await list(), await waiting()]).toEqual([['a'], []])
    expect(log.join('\n')).toContain('"operator":"carol"')
    await enrol('a', ek, more, ak) // approved once, it stays so
    expect(await show('a')).toMatchObject({ regcount: 2 })
    await expect(enrol('a', softwareEk())).rejects.toMatchObject({ code: 'forbidden' }) // another EK is not
    await expect(approve('a')).rejects.toMatchObject({ code: 'agent_not_found' })
  })

  test('approve: an expected TPM is approved at once', async () => {
    const { enrol, expect: tell, list } = await registrar('approve')
    const ek = softwareEk()
    await tell({ ek_hash: hashOf(ek), note: 'delivered on Monday' })
    await enrol('a', ek)
    expect(await list()).toEqual(['a'])
  })

  test('two TPMs that wait for one id displace nobody, and the operator says which', async () => {
    const { enrol, waiting, approve, show, context } = await registrar('approve')
    const [first, second] = [softwareEk(), softwareEk()]
    await enrol('a', first)
    await enrol('a', second)
    expect(await waiting()).toHaveLength(2)
    await expect(approve('a')).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining(hashOf(first)) })
    await expect(approve('a', { ek_hash: '0'.repeat(64) })).rejects.toMatchObject({ code: 'agent_not_found' })
    await approve('a', { ek_hash: hashOf(second) })
    expect(await show('a')).toMatchObject({ ek_tpm: second.public.toString('base64') })
    expect(await context.store.waiting.list()).toEqual([])
  })

  test('a TPM that was refused does not come back under any id until it is expected', async () => {
    const { enrol, ask, refuse, waiting, expect: tell, call } = await registrar('approve')
    const ek = softwareEk()
    await enrol('a', ek)
    await enrol('b', ek)
    await refuse('a')
    expect((await waiting()).map(({ agent_id }) => agent_id)).toEqual(['b'])
    await expect(call('PUT', '/agents/:id/approve', { id: 'b' })).rejects.toMatchObject({ code: 'conflict' })
    await expect(ask('c', ek)).rejects.toMatchObject(refusedAs('an operator refused this TPM'))
    await enrol('a', softwareEk()) // the id is free
    await tell({ ek_hash: hashOf(ek) })
    await enrol('c', ek)
  })

  test('of one TPM that waits under two ids one can be approved', async () => {
    const { enrol, approve, list } = await registrar('approve')
    const ek = softwareEk()
    await enrol('a', ek)
    await enrol('b', ek)
    await approve('b')
    await expect(approve('a')).rejects.toMatchObject({ message: expect.stringContaining('one TPM may have one id') })
    expect(await list()).toEqual(['b'])
  })

  test('what waits goes with its registration: deleted and revoked ids wait no more', async () => {
    const { enrol, waiting, call, ask } = await registrar('approve')
    for (const id of ['a', 'b']) await enrol(id, softwareEk())
    await call('DELETE', '/agents/:id', { id: 'a' })
    await call('PUT', '/agents/:id/revoke', { id: 'b' })
    expect(await waiting()).toEqual([])
    await expect(ask('b', softwareEk())).rejects.toMatchObject({ message: expect.stringContaining('was revoked') })
  })

  test('what is expected is listed with who said so, and a later word replaces an earlier one', async () => {
    const { expect: tell, call } = await registrar('refuse')
    const ek = hashOf(softwareEk())
    await tell({ ek_hash: ek, note: 'one' })
    await tell({ ek_hash: `sha256:${ek}`, note: 'two', agent_id: 'a' })
    await tell({ serial: '00ff' })
    const { expected, unknown_tpm } = expectedAnswer.parse(await call('GET', '/expected'))
    expect(unknown_tpm).toBe('refuse')
    const by = { verdict: 'expected', by: 'carol', since: new Date(NOW).toISOString() }
    expect(expected).toEqual(
      expect.arrayContaining([
        { ek_hash: ek, serial: null, agent_id: 'a', note: 'two', ...by },
        { ek_hash: null, serial: 'ff', agent_id: null, note: '', ...by },
      ]),
    )
    expect(expected).toHaveLength(2)
  })

  test.each([
    ['neither hash nor serial', {}],
    ['both', { ek_hash: '0'.repeat(64), serial: '1' }],
    ['a short hash', { ek_hash: 'abc' }],
    ['a serial that is none', { serial: 'xyz' }],
    ['an id that is none', { serial: '1', agent_id: '../x' }],
    ['a long note', { serial: '1', note: 'x'.repeat(201) }],
  ])('%s is refused', async (_what, body) => {
    const { expect: tell } = await registrar('accept')
    await expect(tell(body)).rejects.toMatchObject({ code: 'invalid_request' })
  })

  test('who waits is bounded in number, and nobody without a maker keeps out one with', async () => {
    const { enrol, db } = await registrar('approve')
    const waiting = waitingMachines(db, { ofTpm: 4, ofNetwork: 2, ofAll: 3 })
    for (const id of ['a', 'b', 'c', 'd']) await enrol(id, softwareEk())
    const machines = await waitingMachines(db).list()
    for (const { record } of machines) await waiting.drop(record.agentId)
    const [a, b, c, d] = machines.map((machine, i) => ({ ...machine, since: i })) as [never, never, never, never]
    const put = (machine: object, network: string, maker: string | null = null) => waiting.put({ ...machine, network, maker } as never)
    const ids = async () => (await waiting.list()).map(({ record }) => record.agentId)
    await put(a, 'x')
    await put(b, 'x')
    await expect(put(c, 'x')).rejects.toMatchObject({ code: 'too_many_requests' })
    await put(a, 'x') // keeps its place
    await put(c, 'x', 'Maker')
    expect(await ids()).toEqual(['b', 'c'])
    await put(a, 'y')
    await expect(put(d, 'z')).rejects.toMatchObject({ code: 'too_many_requests' })
    await put(d, 'z', 'Maker')
    expect(await ids()).toEqual(['b', 'c', 'd'])
  })

  test('one TPM that asks for many ids keeps out no other, also when a maker vouches for it', async () => {
    const { enrol, db } = await registrar('approve')
    const waiting = waitingMachines(db, { ofTpm: 2, ofNetwork: 3, ofAll: 3 })
    const [greedy, other] = [softwareEk(), softwareEk()]
    for (const id of ['a', 'b', 'c', 'd']) await enrol(id, greedy)
    await enrol('e', other)
    const machines = await waitingMachines(db).list()
    for (const { record } of machines) await waiting.drop(record.agentId)
    for (const [i, machine] of machines.entries()) await waiting.put({ ...machine, maker: 'Maker', since: i })
    expect((await waiting.list()).map(({ record }) => record.agentId)).toEqual(['c', 'd', 'e'])
  })

  test('a serial of any length is no reason why who waits cannot be listed', async () => {
    const { enrol, waiting } = await registrar('approve')
    const ek = softwareEk()
    await enrol('a', ek, { ekcert: certified(ek, LIAR, Buffer.alloc(600, 0x7f)) })
    expect(await waiting()).toMatchObject([{ agent_id: 'a', serial: `${'7f'.repeat(20)}…` }])
  })

  test('what is expected is bounded in number', async () => {
    const { db } = await registrar('accept')
    const expected = expectedTpms(db, 2)
    const put = (digits: string) =>
      expected.put({ kind: 'serial', digits, verdict: 'expected', agentId: null, note: '', addedAt: NOW, addedBy: 'carol' })
    await put('1')
    await put('2')
    await put('2')
    await expect(put('3')).rejects.toMatchObject({ code: 'conflict' })
    expect((await expected.list()).map(({ digits }) => digits)).toEqual(['1', '2'])
  })
})
