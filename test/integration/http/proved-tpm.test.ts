import type { RateLimit } from '../../../src/core/concurrency/rate-limiter.ts'
import { type ApiClient, openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { testLogger } from '../../servers.ts'

const BURST = 8
/** Nothing comes back by itself while a test runs. */
const RATE: RateLimit = { ofPeer: { perSecond: 1 / 3600, burst: BURST }, ofAll: { perSecond: 1 / 3600, burst: BURST } }
const TOO_OFTEN = 429

let listening: Listening
let client: ApiClient
beforeEach(async () => {
  const open = { access: 'public', plainHttp: true, rate: { ...RATE } } as const
  const routes: Route[] = [
    { method: 'POST', path: '/agents/:id', ...open, handle: () => ({}) },
    {
      method: 'PUT',
      path: '/agents/:id',
      ...open,
      handle: ({ params }) => (params['id'] === 'stranger' ? {} : { provedTpm: params['id']! }),
    },
  ]
  listening = await serve({ host: '127.0.0.1', port: 0, routes, versions: ['2.6'], logger: testLogger('server') })
  client = openApiClient({ url: `http://127.0.0.1:${listening.port}`, name: 'server', timeoutSeconds: 10 })
})
afterEach(async () => {
  await client.close()
  await listening.close(0)
})

/** @returns whether both requests were answered. */
async function registers(id: string): Promise<boolean> {
  for (const method of ['POST', 'PUT'] as const)
    if ((await client.request(method, `/agents/${id}`, { body: {} })).status === TOO_OFTEN) return false
  return true
}
async function howMany(idOf: (i: number) => string): Promise<number> {
  for (let i = 0; i < 30; i++) if (!(await registers(idOf(i)))) return i
  return 30
}

test('a fleet whose TPMs prove themselves registers behind one address as fast as it is served', async () => {
  expect(await howMany((i) => `machine-${i}`)).toBe(30)
})

test('who proves nothing asks as often as the rate says', async () => {
  expect(await howMany(() => 'stranger')).toBe(BURST / 2)
})

test('one TPM that comes again and again gives back no more than a machine needs', async () => {
  expect(await howMany(() => 'same')).toBe(4 + BURST / 2)
})

test('machines of the fleet give nothing back for strangers of their network', async () => {
  expect(await howMany((i) => (i % 2 === 0 ? `machine-${i}` : 'stranger'))).toBeLessThan(BURST + 1)
})
