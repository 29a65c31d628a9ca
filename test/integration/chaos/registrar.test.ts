import fs from 'node:fs'
import path from 'node:path'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { type ApiClient, openApiClient } from '../../../src/io/http/api-client.ts'
import { BUG, chosen, endAll, listens, type RoleProcess, startRole, walkOf, wholeTest } from '../../chaos/role-process.ts'
import { tpmMachine } from '../../chaos/tpm-machine.ts'
import { adminClient, freePorts, temporaryKeylimeDir } from '../../servers.ts'
import { softwareAk } from '../../software-ak.ts'

const homes: ReturnType<typeof temporaryKeylimeDir>[] = []
let machine: Awaited<ReturnType<typeof tpmMachine>>
beforeAll(async () => {
  machine = await tpmMachine()
})
afterEach(async () => {
  await endAll()
  for (const home of homes.splice(0)) home.remove()
})
afterAll(() => machine.stop())

async function place(settings: Record<string, string> = {}) {
  const [port, tlsPort] = (await freePorts(2)) as [number, number]
  const home = temporaryKeylimeDir({ KEYLIME_REGISTRAR_PORT: `${port}`, KEYLIME_REGISTRAR_TLS_PORT: `${tlsPort}`, ...settings })
  homes.push(home)
  return { home, port, tlsPort }
}
type Place = Awaited<ReturnType<typeof place>>

async function withCertificates(settings: Record<string, string> = {}): Promise<Place> {
  const given = await place({ KEYLIME_REGISTRAR_SAME_TPM_UNDER_OTHER_IDS: 'allow', ...settings })
  const { values } = loadConfig('ca', caOptions, { env: given.home.env })
  const request = { role: 'verifier', keylimeDir: given.home.dir, tlsDir: 'generate', names: ['127.0.0.1'], caPassword: 'x' } as const
  await ensureTlsDirectory({ ...request, settings: caSettings(values), serverKeyPassword: '', clientKeyPassword: '', now: Date.now })
  return given
}

async function start({ home, port, tlsPort }: Place, failpoint?: string): Promise<RoleProcess> {
  const role = startRole(['registrar'], home.env, { failpoint })
  if (await listens(role, tlsPort)) await listens(role, port)
  return role
}

type Answers = Record<string, unknown>

/** Each step whether the one before came through or not. @returns what was answered. */
async function story(plain: ApiClient, admin: ApiClient): Promise<Answers> {
  const answers: Answers = {}
  const step = async (name: string, run: () => Promise<number>) => {
    answers[name] = await run().catch(() => null)
  }
  const remove = async (id: string) => (await admin.request('DELETE', `/v2.6/agents/${id}`)).status
  await step('one', () => machine.enrol(plain, 'one'))
  await step('one again', () => machine.enrol(plain, 'one'))
  await step('two', () => machine.enrol(plain, 'two'))
  await step('without two', () => remove('two'))
  return answers
}

const clients = ({ home, port, tlsPort }: Place) => ({
  plain: openApiClient({ url: `http://127.0.0.1:${port}`, name: 'registrar', timeoutSeconds: 10 }),
  admin: adminClient(home.dir, tlsPort),
})

async function tell(given: Place): Promise<Answers> {
  const { plain, admin } = clients(given)
  const answers = await story(plain, admin)
  await Promise.all([plain.close(), admin.close()])
  return answers
}

async function points(run: (failpoint: string) => Promise<void>, dir: string): Promise<readonly string[]> {
  const list = path.join(dir, 'points')
  await run(`count:${list}`)
  return walkOf(list).failpoints
}

/** Everything that was answered is there, ids are bound, and everything can be done again. */
async function holds(given: Place, failpoint: string, answers: Answers): Promise<void> {
  const { plain, admin } = clients(given)
  const show = async (id: string) =>
    (await admin.request('GET', `/v2.6/agents/${id}`)) as { status: number; results: Record<string, unknown> }
  const one = await show('one')
  const two = await show('two')
  if (answers['one'] === 200)
    expect([failpoint, one]).toMatchObject([failpoint, { status: 200, results: { aik_tpm: machine.body.aik_tpm } }])
  if (answers['one again'] === 200) expect([failpoint, one.results['regcount']]).toEqual([failpoint, 2])
  if (answers['without two'] === 200) expect([failpoint, two.status]).toEqual([failpoint, 404])
  else if (answers['two'] === 200 && answers['without two'] !== null) expect([failpoint, two.status]).toEqual([failpoint, 200])
  const other = { aik_tpm: softwareAk('ecc').public.toString('base64') }
  if (one.status === 200) expect([failpoint, await machine.enrol(plain, 'one', other)]).toEqual([failpoint, 403])
  for (const id of ['one', 'two']) expect([failpoint, id, await machine.enrol(plain, id)]).toEqual([failpoint, id, 200])
  for (const id of ['one', 'two']) expect((await admin.request('DELETE', `/v2.6/agents/${id}`)).status).toBe(200)
  await Promise.all([plain.close(), admin.close()])
}

/** All but the certificates that were there. */
function reset({ home }: Place): void {
  for (const name of fs.readdirSync(home.dir)) if (name !== 'cv_ca') fs.rmSync(path.join(home.dir, name), { recursive: true })
}

test('killed anywhere, the registrar keeps who has registered, gives no id to another TPM, and takes registrations again', async () => {
  const given = await withCertificates()
  const all = await points(async (failpoint) => {
    const role = await start(given, failpoint)
    expect(Object.values(await tell(given))).toEqual([200, 200, 200, 200])
    await role.kill()
  }, given.home.dir)
  for (const failpoint of chosen(all, 1)) {
    reset(given)
    const killed = await start(given, failpoint)
    const answers = killed.isRunning() ? await tell(given) : {}
    await killed.kill()
    const again = await start(given)
    expect([failpoint, again.isRunning(), BUG.test(again.text())]).toEqual([failpoint, true, false])
    await holds(given, failpoint, answers)
    await again.kill()
  }
})

wholeTest('killed anywhere while it makes its certificates, the registrar makes the rest at the next start', async () => {
  const given = await withCertificates({ KEYLIME_REGISTRAR_TLS_DIR: 'generate', KEYLIME_CA_PASSWORD: 'x' })
  const all = await points(async (failpoint) => {
    const role = await start(given, failpoint)
    expect([role.isRunning(), role.text()]).toEqual([true, expect.any(String)])
    await role.kill()
  }, given.home.dir)
  for (const failpoint of chosen(all, 1)) {
    reset(given)
    await (await start(given, failpoint)).kill()
    const again = await start(given)
    expect([failpoint, again.isRunning(), again.text()]).toEqual([failpoint, true, expect.not.stringMatching(BUG)])
    await again.kill()
    const left = fs.readdirSync(path.join(given.home.dir, 'reg_ca')).filter((name) => name.endsWith('.tmp') || name === '.making-authority')
    expect([failpoint, left]).toEqual([failpoint, []])
  }
})
