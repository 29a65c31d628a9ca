import fs from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { jest } from '@jest/globals'
import { command } from '../../../src/roles/tenant/command.ts'
import { runUpstream } from '../../../src/roles/tenant/upstream.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { sampled } from '../../thorough.ts'
import { TenantWorld } from './fixtures.ts'

/** Title and clear-screen sequences, C1 controls, directions, separators, and lines that look like ours. */
const HOSTILE = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\u2066\u2028\u2029\r\nerror: forged\nhint: run this'
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]|^(?:error: forged|hint: run this)/m

const world = new TenantWorld()
const environment = { ...process.env }
let proxy: https.Server
let machine: SimulatedAgent
/** Which text of an answer of the verifier is hostile; all of them, or none. */
let hostile: number | 'all' | null = null
/** Texts of the last answers, counted in their order. */
let texts = 0

beforeAll(async () => {
  await world.start()
  const read = (name: string) => fs.readFileSync(world.path('cv_ca', name), 'utf8')
  const [ca, cert, key] = [read('cacert.crt'), read('client-cert.crt'), read('client-private.pem')]
  proxy = https.createServer({ cert: read('server-cert.crt'), key: read('server-private.pem') }, async (request, response) => {
    const { method, url, headers } = request
    const target = {
      host: '127.0.0.1',
      port: world.verifier.port,
      method,
      path: url,
      headers,
      ca,
      cert,
      key,
      checkServerIdentity: () => undefined,
    }
    const forwarded = https.request(target, async (answer) => {
      const text = JSON.stringify(poisoned(JSON.parse(Buffer.concat(await answer.toArray()).toString('utf8'))))
      response.writeHead(answer.statusCode!, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
    })
    forwarded.end(Buffer.concat(await request.toArray()))
  })
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  machine = await world.machine('honest')
  await world.run('add', { agentId: 'honest', runtimePolicyName: '' })
  world.home.env['KEYLIME_TENANT_VERIFIER_PORT'] = String((proxy.address() as AddressInfo).port)
  Object.assign(process.env, world.home.env, { KEYLIME_TENANT_MAX_RETRIES: '0' })
})
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  proxy.closeAllConnections()
  proxy.close()
  await world.stop()
})

/** The same answer with the hostile text in its texts, or in one of them. */
function poisoned(json: unknown): unknown {
  if (typeof json === 'string') return hostile === 'all' || hostile === texts++ ? json + HOSTILE : json
  if (Array.isArray(json)) return json.map(poisoned)
  if (typeof json !== 'object' || json === null) return json
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, poisoned(value)]))
}

async function printed(run: () => Promise<number>): Promise<string> {
  let text = ''
  const catching = (chunk: string | Uint8Array) => {
    text += chunk
    return true
  }
  const spies = [process.stdout, process.stderr].map((stream) => jest.spyOn(stream, 'write').mockImplementation(catching as never))
  try {
    await run()
  } catch (error) {
    const { printFailure } = await import('../../../src/io/terminal/print-failure.ts')
    printFailure(error, { debug: false, json: false })
    printFailure(error, { debug: false, json: true })
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
  return text
}

const FACES: Record<string, (action: string, argv: object) => Promise<string>> = {
  ours: (action, argv) => printed(() => command.run({ action, timeout: 2, ...argv })),
  'ours as JSON': (action, argv) => printed(() => command.run({ action, timeout: 2, json: true, ...argv })),
  upstream: (action, { uuid }: { uuid?: string }) => printed(() => runUpstream(['-c', action, ...(uuid ? ['-u', uuid] : [])])),
}
const ASKING: [string, object][] = [
  ['list', {}],
  ['status', { uuid: 'honest' }],
  ['explain', { uuid: 'honest' }],
  ['cvstatus', { uuid: 'honest' }],
  ['bulkinfo', {}],
  ['revocations', {}],
  ['listruntimepolicy', {}],
]

describe.each(Object.entries(FACES))('%s', (name, face) => {
  test.each(ASKING.filter(([action]) => name !== 'upstream' || !['list', 'explain', 'revocations'].includes(action)))(
    'what a verifier says in any text of its answers to %s does nothing to a terminal',
    async (action, argv) => {
      hostile = null
      texts = 0
      expect((await face(action, argv)).length).toBeGreaterThan(0)
      const count = texts
      expect(count).toBeGreaterThan(2)
      const single = sampled(
        [...Array(count).keys()],
        name === 'ours' ? 2 : 4,
        ASKING.findIndex(([asking]) => asking === action),
      )
      for (const at of ['all' as const, ...single]) {
        hostile = at
        texts = 0
        expect({ at, text: UNSAFE.exec(await face(action, argv)) }).toEqual({ at, text: null })
      }
      hostile = null
    },
  )

  test('what a registrar says of a machine neither', async () => {
    const record = world.registered.get('honest')!
    for (const field of ['agent_id', 'ip', 'port', 'mtls_cert', 'ekcert', 'aik_tpm', 'ek_tpm']) {
      world.registered.set('poisoned', { ...record, [field]: `${record[field]}${HOSTILE}` })
      for (const [action, argv] of [
        ['regstatus', { uuid: 'poisoned' }],
        ['reglist', {}],
        ['add', { uuid: 'poisoned' }],
      ] as const)
        expect({ field, action, text: UNSAFE.exec(await face(action, argv)) }).toEqual({ field, action, text: null })
      world.registered.delete('poisoned')
    }
    world.registered.set(`h${HOSTILE}`, record)
    for (const action of ['reglist', 'list'])
      if (name !== 'upstream' || action === 'reglist') expect(UNSAFE.exec(await face(action, {}))).toBeNull()
    world.registered.delete(`h${HOSTILE}`)
  })

  test('what an agent answers neither', async () => {
    const words = {
      status: `no${HOSTILE}`,
      code: 200,
      results: { agent_uuid: HOSTILE, tpm_hash_alg: HOSTILE, payload: { state: 'failed', files: 0, script: 'none', error: HOSTILE } },
    }
    for (const path of ['/version', '/quotes/identity', '/keys/ukey', '/keys/verify', '/agent/info'])
      for (const status of [200, 400, 500]) {
        machine.answer.set(path, () => ({ status, body: JSON.stringify(words) }))
        for (const action of ['update', 'status'])
          if (name !== 'upstream' || action === 'status')
            expect({
              path,
              status,
              text: UNSAFE.exec(await face(action, { uuid: 'honest', wait: false, file: world.file('s', 's') })),
            }).toEqual({ path, status, text: null })
        machine.answer.delete(path)
      }
  })
})
