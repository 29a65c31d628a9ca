import fs from 'node:fs'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { agentRoutes } from '../../../src/roles/agent/api/routes.ts'
import { listenerRoutes, revocationRoutes } from '../../../src/roles/ca/listen/routes.ts'
import { type RunningListener, startListener } from '../../../src/roles/ca/listen/start.ts'
import { registrarRoutes } from '../../../src/roles/registrar/api/routes.ts'
import { verifierRoutes } from '../../../src/roles/verifier/api/routes.ts'
import { type RunningVerifier, startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, freePorts, testLogger } from '../../servers.ts'
import { pushEnrolment, type SimulatedPushAgent, simulatedPushAgent } from '../../simulated-push-agent.ts'
import { AgentBed } from '../agent/agent-bed.ts'
import { CALLERS, type Callers, call, callersOf } from './callers.ts'

const bed = new AgentBed()
let verifier: RunningVerifier
let authority: RunningListener
let callers: Callers

beforeAll(async () => {
  await bed.startServers()
  const { dir } = bed.place
  const env = {
    ...bed.place.env,
    KEYLIME_CA_PASSWORD: 'x',
    KEYLIME_CA_LISTEN_PORT: '0',
    KEYLIME_CA_LISTEN_TLS_PORT: String((await freePorts(1))[0]),
  }
  const config = loadConfig('ca', caOptions, { env })
  const access = (name: string): CaAccess => ({
    directory: path.join(dir, name),
    password: 'x',
    settings: caSettings(config.values),
    now: Date.now,
  })
  callers = await callersOf(access('cv_ca'))
  await bed.startAgent()
  verifier = await startVerifier(loadVerifierSettings(env), testLogger('verifier'))
  await initCaDirectory(access('ca'))
  authority = await startListener({ access: access('ca'), config, notifier: undefined, logger: testLogger('ca') })
})
afterAll(async () => {
  await authority.stop()
  await verifier.stop()
  await bed.stop()
})

const SERVERS: Record<string, { routes: Route[]; port(): number }> = {
  verifier: { routes: verifierRoutes({ settings: { verify: {} } } as never), port: () => verifier.port },
  registrar: { routes: registrarRoutes({} as never), port: () => bed.registrar.tlsPort },
  agent: { routes: agentRoutes({} as never, 1), port: () => bed.agent.port },
  ca: { routes: revocationRoutes({} as never, 'admin'), port: () => authority.tlsPort },
}
const concrete = ({ path: pattern }: Route) =>
  pattern
    .replace('v:version', 'v2.6')
    .replace(/:(id|name|session|index)/g, 'nobody')
    .replace('*', 'x')

const table = Object.entries(SERVERS).flatMap(([server, { routes, port }]) =>
  routes.map((route) => ({ name: `${server}: ${route.method} ${route.path}`, route, port })),
)

test.each(table)('$name takes whom it says, and nobody else', async ({ route, port }) => {
  if (route.access === 'agent') return onlyAgents(route, port())
  const takesVerifiers = route.access === 'peer' || route.access === 'reader'
  const takes = (who: (typeof CALLERS)[number]) => route.access === 'public' || who === 'right' || (who === 'verifier' && takesVerifiers)
  const expected = CALLERS.map((who) => [who, takes(who) ? 'answered' : 'refused'])
  const found = await Promise.all(
    CALLERS.map(async (who) => {
      const { status } = await call({ port: port(), method: route.method, path: concrete(route) }, callers[who])
      return [who, status === 403 || status === 'closed' ? 'refused' : 'answered']
    }),
  )
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected))
})

/** No certificate opens a route of agents: a token does, and only that of the agent in the path. */
async function onlyAgents(route: Route, port: number): Promise<void> {
  for (const who of CALLERS)
    expect([who, (await call({ port, method: route.method, path: concrete(route) }, callers[who])).status]).toEqual([who, 401])
  const [owner, other] = await Promise.all(['nobody', 'somebody'].map(withToken))
  const ask = async (token: string | null) => (await owner!.request(route.method, concrete(route), {}, token)).status
  expect(await ask('x')).toBe(401)
  expect(await ask(`${owner!.token}x`)).toBe(401)
  expect(await ask(other!.token)).toBe(403)
  expect([400, 404]).toContain(await ask(owner!.token))
}

async function withToken(id: string): Promise<SimulatedPushAgent> {
  const ca = fs.readFileSync(path.join(bed.place.dir, 'cv_ca/cacert.crt'), 'utf8')
  const agent = simulatedPushAgent(id, () => ({ port: verifier.port, ca }))
  const admin = adminClient(bed.place.dir, verifier.port)
  await admin.request('DELETE', `/v2.6/agents/${id}`)
  expect(await admin.request('POST', `/v2.6/agents/${id}`, { body: pushEnrolment(agent) })).toMatchObject({ status: 200 })
  await admin.close()
  expect((await agent.authenticate()).status).toBe(200)
  return agent
}

test('what anybody may ask is this, and nothing else', () => {
  const open = table.filter(({ route }) => route.access === 'public').map(({ name }) => name)
  expect(open).toEqual([
    'verifier: GET /version',
    'verifier: GET /versions',
    'verifier: GET /v:version/verify/identity',
    'verifier: POST /v:version/verify/evidence',
    'verifier: POST /v3.0/sessions',
    'verifier: PATCH /v3.0/sessions/:session',
    'registrar: GET /version',
    'registrar: GET /versions',
    'registrar: POST /v:version/agents',
    'registrar: POST /v:version/agents/:id',
    'registrar: PUT /v:version/agents/:id',
    'registrar: PUT /v:version/agents/:id/activate',
    'registrar: POST /v:version/agents/:id/activate',
  ])
})

test('what a verifier may ask with its own role is this, and it is told that the rest is for operators', async () => {
  const of = (access: Route['access']) => table.filter(({ route }) => route.access === access).map(({ name }) => name)
  expect(of('reader')).toEqual(['registrar: GET /v:version/agents/:id'])
  expect(of('operator')).toEqual(['agent: POST /v:version/keys/ukey'])
  const ask = (port: number, method: string, asked: string) => call({ port, method, path: asked }, callers.verifier)
  expect((await ask(bed.agent.port, 'POST', '/v2.6/keys/ukey')).body).toContain('this is for operators')
  expect((await ask(bed.registrar.tlsPort!, 'GET', '/v2.6/agents')).body).toContain('this is for operators')
  expect((await ask(verifier.port, 'GET', '/v2.6/agents/')).body).toContain('which may call agents and read at the registrar')
})

test('an agent says nothing at all to who is no operator, and who is refused is told why', async () => {
  const ask = (who: keyof Callers, asked: string) => call({ port: bed.agent.port, method: 'GET', path: asked }, callers[who])
  for (const who of ['revoked', 'wrongRole'] as const) expect(await ask(who, '/nothing')).toMatchObject({ status: 403 })
  expect((await ask('revoked', '/version')).body).toContain('was revoked on')
  expect((await ask('wrongRole', '/version')).body).toContain('has no role')
  const atVerifier = async (who: keyof Callers) =>
    (await call({ port: verifier.port, method: 'GET', path: '/v2.6/agents/' }, callers[who])).body
  expect(await atVerifier('expired')).toMatch(/its certificate ended on \d{4}-/)
  expect(await atVerifier('wrongUsage')).toContain('not for clients')
  expect(await atVerifier('wrongCa')).toContain('not from a trusted CA')
})

test('the plain ports: a registrar’s serves agents only, an authority’s what is public or signed', async () => {
  const plain = (port: number) => openApiClient({ url: `http://127.0.0.1:${port}`, name: 'server', timeoutSeconds: 5 })
  const registrar = plain(bed.registrar.port)
  for (const route of registrarRoutes({} as never)) {
    const body = route.method === 'GET' || route.method === 'DELETE' ? {} : { body: {} }
    const { status } = await registrar.request(route.method, concrete(route), body)
    if (route.access === 'admin') expect(`${route.path} ${status}`).toBe(`${route.path} 400`)
  }
  expect(await registrar.request('GET', '/version')).toMatchObject({ status: 200, results: { current_version: '2.6' } })
  await registrar.close()
  expect(listenerRoutes({} as never).filter(({ access }) => access !== 'public')).toEqual([])
  const list = await fetch(`http://127.0.0.1:${authority.port}/crl`)
  expect(Buffer.from(await list.arrayBuffer())).toEqual(fs.readFileSync(path.join(bed.place.dir, 'ca/cacrl.der')))
})

test('unknown paths, methods, versions and bodies get upstream’s codes', async () => {
  const client = adminClient(bed.place.dir, verifier.port)
  expect((await client.request('GET', '/nothing')).status).toBe(404)
  expect((await client.request('PATCH', '/v2.6/agents/x')).status).toBe(405)
  expect((await client.request('GET', '/v1.0/agents/')).status).toBe(404)
  expect((await client.request('GET', '/v2/agents/')).status).toBe(200)
  expect((await client.request('GET', '/v2.6/agents/..%2fetc')).status).toBe(400)
  await client.close()
})
