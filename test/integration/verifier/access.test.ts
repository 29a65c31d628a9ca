import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { openKeystore } from '../../../src/core/pki/keystore.ts'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { registrarRoutes } from '../../../src/roles/registrar/api/routes.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { verifierRoutes } from '../../../src/roles/verifier/api/routes.ts'
import { type RunningVerifier, startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, temporaryKeylimeDir, testLogger } from '../../servers.ts'

const home = temporaryKeylimeDir()
const foreign = temporaryKeylimeDir()
const serverOnly = path.join(home.dir, 'server-only.crt')
let verifier: RunningVerifier
let registrar: RunningRegistrar

beforeAll(async () => {
  verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
  registrar = await startRegistrar(loadRegistrarSettings(home.env), testLogger('registrar'))
  makeServerOnly()
  const other = await startVerifier(loadVerifierSettings(foreign.env), testLogger('other'))
  await other.stop()
})
afterAll(async () => {
  await verifier.stop()
  await registrar.stop()
  home.remove()
  foreign.remove()
})

/** The client's key in a certificate of the same CA whose extended key usage is serverAuth: trusted, but in another role. */
function makeServerOnly(): void {
  const file = (name: string) => path.join(home.dir, name)
  const { ca } = openKeystore(read(home.dir, 'private.yml'), 'default')
  fs.writeFileSync(file('ca-key.pem'), ca, { mode: 0o600 })
  fs.writeFileSync(file('eku.cnf'), 'extendedKeyUsage = serverAuth\n')
  execFileSync(
    'openssl',
    ['req', '-new', '-key', path.join(home.dir, 'cv_ca/client-private.pem'), '-subj', '/CN=client', '-out', file('role.csr')],
    { stdio: 'ignore' },
  )
  const ca509 = ['-CA', path.join(home.dir, 'cv_ca/cacert.crt'), '-CAkey', file('ca-key.pem'), '-set_serial', '4711']
  execFileSync(
    'openssl',
    ['x509', '-req', '-in', file('role.csr'), ...ca509, '-days', '2', '-extfile', file('eku.cnf'), '-out', serverOnly],
    { stdio: 'ignore' },
  )
}

const read = (dir: string, name: string) => fs.readFileSync(path.join(dir, 'cv_ca', name), 'utf8')
const routes: [string, Route, () => number][] = [
  ...verifierRoutes({ settings: { verify: {} } } as never).map((route): [string, Route, () => number] => [
    'verifier',
    route,
    () => verifier.port,
  ]),
  ...registrarRoutes({} as never).map((route): [string, Route, () => number] => ['registrar', route, () => registrar.tlsPort]),
]
const concrete = (route: Route) => route.path.replace('v:version', 'v2.6').replace(/:(id|name)/, 'nobody')

describe.each(routes.map(([server, route, port]) => ({ name: `${server} ${route.method} ${route.path}`, route, port })))(
  '$name',
  ({ route, port }) => {
    const ask = async (changes: object) => {
      const client = adminClient(home.dir, port(), changes)
      try {
        return await client.request(route.method, concrete(route), route.method === 'GET' || route.method === 'DELETE' ? {} : { body: {} })
      } finally {
        await client.close()
      }
    }
    const denied = route.access === 'admin' ? 403 : undefined

    test('without a certificate', async () => {
      const { status } = await ask({ cert: undefined, key: undefined })
      expect(status === 403).toBe(denied === 403)
    })
    test('with the certificate of another CA', async () => {
      const { status } = await ask({ cert: read(foreign.dir, 'client-cert.crt'), key: read(foreign.dir, 'client-private.pem') })
      expect(status === 403).toBe(denied === 403)
    })
    test('with a certificate of the right CA that is for servers only', async () => {
      const { status } = await ask({ cert: fs.readFileSync(serverOnly, 'utf8'), key: read(home.dir, 'client-private.pem') })
      expect(status === 403).toBe(denied === 403)
    })
    test('with the right certificate', async () => expect((await ask({})).status).not.toBe(403))
  },
)

test('the registrar’s plain port serves agents only', async () => {
  const plain = openApiClient({ url: `http://127.0.0.1:${registrar.port}`, name: 'registrar', timeoutSeconds: 5 })
  for (const route of registrarRoutes({} as never)) {
    const { status } = await plain.request(
      route.method,
      concrete(route),
      route.method === 'GET' || route.method === 'DELETE' ? {} : { body: {} },
    )
    if (route.access === 'admin') expect(`${route.path} ${status}`).toBe(`${route.path} 400`)
  }
  expect(await plain.request('GET', '/version')).toMatchObject({ status: 200, results: { current_version: '2.6' } })
  await plain.close()
})

test('unknown paths, methods, versions and bodies get upstream’s codes', async () => {
  const client = adminClient(home.dir, verifier.port)
  expect((await client.request('GET', '/nothing')).status).toBe(404)
  expect((await client.request('PATCH', '/v2.6/agents/x')).status).toBe(405)
  expect((await client.request('GET', '/v1.0/agents/')).status).toBe(404)
  expect((await client.request('GET', '/v2/agents/')).status).toBe(200)
  expect((await client.request('GET', '/v2.6/agents/..%2fetc')).status).toBe(400)
  await client.close()
})
