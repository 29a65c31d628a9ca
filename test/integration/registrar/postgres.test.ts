import fs from 'node:fs'
import net from 'node:net'
import { registrationTag } from '../../../src/core/payload/auth-tag.ts'
import { type ApiClient, openApiClient } from '../../../src/io/http/api-client.ts'
import type { Logger } from '../../../src/io/log/logger.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from '../../servers.ts'
import { softwareAk } from '../../software-ak.ts'
import { activateCredential, softwareEk } from '../../software-ek.ts'

/** Two registrars on one database. */
const home = temporaryKeylimeDir({
  KEYLIME_REGISTRAR_TPM_IDENTITY: 'default',
  KEYLIME_REGISTRAR_METRICS_IP: '127.0.0.1',
  KEYLIME_REGISTRAR_METRICS_PORT: '0',
})
let server: TestPostgres
const sides: { registrar: RunningRegistrar; plain: ApiClient; admin: ApiClient }[] = []
const [left, right] = [() => sides[0]!, () => sides[1]!]

async function start(url: string, logger: Logger = testLogger('registrar')) {
  const registrar = await startRegistrar(loadRegistrarSettings({ ...home.env, KEYLIME_REGISTRAR_DATABASE_URL: url }), logger)
  const plain = openApiClient({ url: `http://127.0.0.1:${registrar.port}`, name: 'registrar', timeoutSeconds: 20 })
  return { registrar, plain, admin: adminClient(home.dir, registrar.tlsPort) }
}

async function stop({ registrar, plain, admin }: (typeof sides)[number]): Promise<void> {
  await Promise.all([plain.close(), admin.close()])
  await registrar.stop()
}

beforeAll(async () => {
  server = await startPostgres()
  giveNotifierKey(home.dir)
  await (await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))).stop() // makes cv_ca
  sides.push(await start(server.url()), await start(server.url()))
})
afterAll(async () => {
  for (const side of sides) await stop(side)
  await server.remove()
  home.remove()
})

function machine() {
  const [ek, ak] = [softwareEk(), softwareAk('ecc')]
  const body = {
    ek_tpm: ek.public.toString('base64'),
    aik_tpm: ak.public.toString('base64'),
    mtls_cert: 'disabled',
    ip: '10.0.0.7',
    port: 9002,
  }
  const ask = async (id: string, side: (typeof sides)[number]) => {
    const { status, results } = await side.plain.request('POST', `/v2.6/agents/${id}`, { body })
    if (status !== 200) return status
    const secret = activateCredential(ek, ak.public, Buffer.from((results as { blob: string }).blob, 'base64'))
    return registrationTag(secret, id)
  }
  const answer = async (id: string, tag: number | string, side: (typeof sides)[number]) =>
    typeof tag === 'number' ? tag : (await side.plain.request('PUT', `/v2.6/agents/${id}`, { body: { auth_tag: tag } })).status
  return { body, ask, answer, enrol: async (id: string, side: (typeof sides)[number]) => answer(id, await ask(id, side), side) }
}

const shown = async (id: string, side: (typeof sides)[number]) => (await side.admin.request('GET', `/v2.6/agents/${id}`)).results

test('a machine asks one registrar, answers at the other, and both know it', async () => {
  const one = machine()
  expect(await one.answer('one', await one.ask('one', left()), right())).toBe(200)
  for (const side of sides) expect(await shown('one', side)).toMatchObject({ aik_tpm: one.body.aik_tpm, regcount: 1 })
  expect(await one.enrol('one', left())).toBe(200)
  expect(await shown('one', right())).toMatchObject({ regcount: 2 })
})

test('of two TPMs that answer for one id at once, one at each registrar, one has it, and the other is refused', async () => {
  for (let round = 0; round < 8; round++) {
    const [id, a, b] = [`race${round}`, machine(), machine()]
    const [tagA, tagB] = [await a.ask(id, left()), await b.ask(id, right())]
    const statuses = await Promise.all([a.answer(id, tagA, left()), b.answer(id, tagB, right())])
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(await shown(id, left())).toMatchObject({ aik_tpm: (statuses[0] === 200 ? a : b).body.aik_tpm, regcount: 1 })
  }
})

test('one TPM gets one id, whichever registrars it asks at once', async () => {
  const one = machine()
  const [first, second] = [await one.ask('twin-a', left()), await one.ask('twin-b', right())]
  const statuses = await Promise.all([one.answer('twin-a', first, left()), one.answer('twin-b', second, right())])
  expect(statuses.toSorted()).toEqual([200, 403])
})

test('who was revoked at one registrar cannot register at the other', async () => {
  const stolen = machine()
  await stolen.enrol('stolen', left())
  await left().admin.request('PUT', '/v2.6/agents/stolen/revoke', { body: {} })
  expect([await stolen.ask('stolen', right()), await stolen.ask('another', right())]).toEqual([403, 403])
})

test('while the server is away machines are told to come again, and nothing is restarted when it is back', async () => {
  const one = machine()
  const tag = await one.ask('later', left())
  await server.stop('immediate')
  expect([await one.answer('later', tag, left()), await machine().ask('new', right())]).toEqual([503, 503])
  await server.start()
  expect(await until('the registrar', async () => (await one.answer('later', tag, left())) === 200)).toBe(true)
  expect(await machine().enrol('new', right())).toBe(200)
})

test('while the server is away a registrar that nobody asks for anything is not ready and says why; then it is', async () => {
  const readiness = async () => {
    await new Promise((resolve) => setTimeout(resolve, 200)) // only some a second are answered
    const answer = await fetch(`http://127.0.0.1:${left().registrar.metricsPort}/readyz`)
    return `${answer.status} ${await answer.text()}`
  }
  expect(await readiness()).toBe('200 ready\n')
  await server.stop('immediate')
  expect(await until('it to say so', async () => ((await readiness()).startsWith('503') ? readiness() : undefined))).toMatch(
    /^503 the database cannot be written: [A-Za-z0-9 ()]+\n$/,
  )
  await server.start()
  expect(await until('it to be ready', async () => (await readiness()) === '200 ready\n')).toBe(true)
})

test('a server that says nothing any more keeps no registrar from ending, by no connection', async () => {
  const before = new Set(connections())
  const side = await start(server.url())
  await Promise.all(Array.from({ length: 8 }, () => shown('nobody', side)))
  const own = () => connections().filter((socket) => !before.has(socket))
  expect(own().length).toBeGreaterThan(2)
  const children = fs.readFileSync(`/proc/${server.pid()}/task/${server.pid()}/children`, 'utf8').trim().split(' ')
  const pids = [server.pid(), ...children.map(Number)]
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    await stop(side)
    await until('the end of its connections', () => own().length === 0)
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
})

/** What keeps this process from ending. */
const connections = () =>
  (process as unknown as { _getActiveHandles(): unknown[] })
    ._getActiveHandles()
    .filter((handle) => handle instanceof net.Socket && handle.remotePort === server.port)

test('commits of a registrar are timed, and what it refuses has not failed', async () => {
  const figures = async () => (await fetch(`http://127.0.0.1:${left().registrar.metricsPort}/metrics`)).text()
  const of = (text: string, line: string) =>
    Number(
      text
        .split('\n')
        .find((found) => found.startsWith(`keylime_registrar_${line} `))
        ?.split(' ')
        .at(-1),
    )
  const before = await figures()
  const one = machine()
  expect(await one.enrol('timed', left())).toBe(200)
  expect(await one.enrol('timed-too', left())).toBe(403) // one TPM has one id
  const now = await figures()
  const commits = 'commit_duration_seconds_count{commit="registration"}'
  expect(of(now, commits)).toBeGreaterThanOrEqual(of(before, commits) + 2)
  expect(of(now, 'commit_failures_total{commit="registration"}')).toBe(of(before, 'commit_failures_total{commit="registration"}'))
})

test('an older database, put back, is told', async () => {
  for (const side of sides.splice(0)) await stop(side) // they keep the mark of another database in the same directory
  const alone = temporaryAlone()
  await alone.run(server.url().replace(/keylime$/, 'postgres'), async (side) => void (await machine().enrol('before', side)))
  await server.query('create database older template postgres')
  await alone.run(server.url().replace(/keylime$/, 'postgres'), async (side) => void (await machine().enrol('since', side)))
  const errors = await alone.run(server.url().replace(/keylime$/, 'older'), async () => undefined)
  expect(errors.join()).toContain('the registrar’s database is older than the one that was here before')
})

/** A registrar whose database nobody else uses; told what it logs as errors. */
function temporaryAlone() {
  return {
    async run(url: string, work: (side: (typeof sides)[number]) => Promise<void>): Promise<string[]> {
      const errors: string[] = []
      const logger = {
        ...testLogger('registrar'),
        error: (text: string) => errors.push(text),
        warn() {},
        info() {},
        debug() {},
      } as unknown as Logger
      const side = await start(url, logger)
      await work(side)
      await stop(side)
      return errors
    },
  }
}
