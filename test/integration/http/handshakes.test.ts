import { once } from 'node:events'
import fs from 'node:fs'
import https from 'node:https'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { secureContext } from '../../../src/io/http/api-client.ts'
import { openClientCheck } from '../../../src/io/http/client-check.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { type Listening, type ServerTls, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

const home = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'of this test' })
const read = (name: string) => fs.readFileSync(path.join(home.dir, 'cv_ca', name), 'utf8')
let server: Listening
let identity: ServerTls

beforeAll(async () => {
  giveNotifierKey(home.dir)
  await (await startVerifier(loadVerifierSettings(home.env), silentLogger)).stop() // makes the certificates
  const settings = loadVerifierSettings(home.env)
  const access = { directory: path.join(home.dir, 'cv_ca'), password: settings.ca.password, settings: settings.ca.settings, now: Date.now }
  await withAuthority(access, (authority) => authority.issue({ name: 'machine' }))
  const trusted = [{ file: path.join(home.dir, 'cv_ca', 'cacert.crt'), pem: read('cacert.crt') }]
  const clients = openClientCheck({
    trusted,
    revocationLists: ['default'],
    authorized: [{ kind: 'default' }],
    now: Date.now,
    logger: silentLogger,
  })
  identity = {
    cert: read('server-cert.crt'),
    key: read('server-private.pem'),
    ca: [read('cacert.crt')],
    clients,
    requireCertificate: false,
  }
  server = await serve({ host: '127.0.0.1', port: 0, routes: [], versions: [], logger: silentLogger, tls: identity })
})
afterAll(async () => {
  await server.close(0)
  home.remove()
})

/** @returns whether a TLS connection from this address is taken, and an answer comes over it. */
const isServed = (localAddress: string, identity: tls.SecureContextOptions = {}) =>
  new Promise<boolean>((resolve) => {
    const target = { host: '127.0.0.1', port: server.port, localAddress, rejectUnauthorized: false, ...identity }
    const socket = tls.connect(target, () => socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'))
    socket.on('data', () => resolve(true))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(false))
  })

const connect = (localAddress: string) =>
  new Promise<void>((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port: server.port, localAddress }, () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
  })

test('a flood of connections from many addresses does not shut out who proved before that he may call; no other certificate gives a place', async () => {
  const operator = { cert: read('client-cert.crt'), key: read('client-private.pem') }
  expect(await isServed('127.0.0.1', operator)).toBe(true)
  const machine = { cert: read('machine-cert.crt'), key: read('machine-private.pem') }
  expect(await isServed('127.0.3.1', machine)).toBe(true)
  for (const who of [{ from: '127.0.2.1' }, { from: '127.0.3.1', identity: machine }]) {
    let served = true
    for (let round = 0; served && round < 20; round++) {
      await Promise.all(Array.from({ length: 400 }, (_, i) => connect(`127.0.1.${1 + (i % 200)}`)))
      served = await isServed(who.from, who.identity)
    }
    expect(served).toBe(false)
  }
  expect(await isServed('127.0.0.1', operator)).toBe(true)
})

describe('machines behind one address, of which one may connect at once', () => {
  const MACHINES = 40
  const never = 1e-9
  const handshakeRates = { strangers: { ofPeer: { perSecond: never, burst: 1 }, ofAll: { perSecond: 1000, burst: 1000 } } }
  const routes: Route[] = [
    { method: 'GET', path: '/proof', access: 'public', handle: ({ query }) => ({ provedMachine: query.get('machine')! }) },
    { method: 'GET', path: '/agents/:id', access: 'agent', handle: () => ({}) },
    { method: 'GET', path: '/nothing', access: 'public', handle: () => ({}) },
  ]
  let listening: Listening

  beforeEach(async () => {
    const common = { host: '127.0.0.1', port: 0, versions: [], logger: silentLogger }
    listening = await serve({ ...common, routes, tls: identity, handshakeRates, agentOf: (token) => token.replace('token-of-', '') })
  })
  afterEach(() => listening.close(0))

  interface Asking {
    path: string
    token?: string
    from?: string
  }
  /** @returns the status of the answer; 0 when the connection ends without one. */
  const ask = ({ path, token, from = '127.0.0.1' }: Asking) =>
    new Promise<number>((resolve) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
      const own = { agent: new https.Agent({ keepAlive: true }), localAddress: from }
      const request = https.get({ host: '127.0.0.1', port: listening.port, path, headers, rejectUnauthorized: false, ...own })
      request.on('response', (answer) => resolve(answer.statusCode!)).on('error', () => resolve(0))
    })
  const all = (asking: (i: number) => Asking) => Promise.all(Array.from({ length: MACHINES }, (_, i) => ask(asking(i))))
  const good = Array.from({ length: MACHINES }, () => 200)

  /** Many turns of the line, in which those of another network are served. */
  const meanwhile = async () => expect(await all((i) => ({ path: `/proof?machine=${i + 1}`, from: '127.0.0.2' }))).toEqual(good)

  test('all that prove their keys are served, in turn, though they come in one moment', async () => {
    expect(await all((i) => ({ path: `/proof?machine=${i}` }))).toEqual(good)
  })

  test('so are all that show tokens which they had before their connections were cut', async () => {
    expect(await all((i) => ({ path: `/agents/machine-${i}`, token: `token-of-machine-${i}` }))).toEqual(good)
  })

  test.each([
    ['one token gives a few connections and no more', { path: '/agents/thief', token: 'token-of-thief' }, 1 + 4],
    ['who proves nothing has the share of his network', { path: '/nothing' }, 1],
  ])('%s; the others wait until the server stops, and do not hold it up', async (_what, asking, served) => {
    const asked = all(() => asking)
    await meanwhile()
    await meanwhile()
    await listening.close(0)
    expect((await asked).filter((status) => status === 200)).toHaveLength(served)
  })

  test('a machine that proves its key again and again gives a few connections and no more: it cannot have the handshakes of all', async () => {
    const asked = all(() => ({ path: '/proof?machine=0' }))
    await meanwhile()
    await meanwhile()
    await listening.close(0)
    expect((await asked).filter((status) => status === 200)).toHaveLength(1 + 4)
  })

  test('who sends more than the beginning of a handshake while he waits is sent away, and fills no memory; who sends less waits on', async () => {
    expect(await ask({ path: '/nothing' })).toBe(200)
    const wait = (bytes: number) => {
      const socket = net.connect({ host: '127.0.0.1', port: listening.port }, () => socket.write(Buffer.alloc(bytes)))
      const ended = new Promise<void>((resolve) => socket.on('error', () => undefined).on('close', () => resolve()))
      return { socket, ended }
    }
    const small = wait(4 << 10)
    await wait(64 << 10).ended
    await meanwhile()
    expect(small.socket.destroyed).toBe(false)
    small.socket.destroy()
  })
})

test('a connection of TLS 1.2 is not negotiated again: who was judged at its beginning cannot become another', async () => {
  const shown = { cert: read('client-cert.crt'), key: read('client-private.pem') }
  const target = { host: '127.0.0.1', port: server.port, maxVersion: 'TLSv1.2', rejectUnauthorized: false, ...shown } as const
  const socket = tls.connect(target)
  await once(socket, 'secureConnect')
  const ended = once(socket, 'error')
  socket.renegotiate({}, () => undefined)
  expect(await ended).toMatchObject([{ code: 'ERR_SSL_NO_RENEGOTIATION' }])
  socket.destroy()
})

test('nor is one of ours to a server: who was pinned at its beginning cannot become another', async () => {
  const asked = Promise.withResolvers<Error | null>()
  const other = tls.createServer({ cert: identity.cert, key: identity.key, maxVersion: 'TLSv1.2' }, (socket) => {
    socket.on('error', asked.resolve)
    socket.renegotiate({ requestCert: true, rejectUnauthorized: false }, asked.resolve)
  })
  await once(other.listen(0, '127.0.0.1'), 'listening')
  const { port } = other.address() as net.AddressInfo
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, secureContext: secureContext({}) })
  socket.on('error', () => undefined).resume()
  expect(await asked.promise).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' })
  socket.destroy()
  other.close()
})
