import net from 'node:net'
import tls from 'node:tls'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { type Listening, type ServeOptions, serve, TIME_LIMITS, type TimeLimits } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { anyClient, until } from '../../servers.ts'

const LONG = 600_000
const SHORT = 100
const patient: TimeLimits = { handshake: LONG, headers: LONG, request: LONG, check: 50 }
const routes: Route[] = [{ method: 'POST', path: '/', access: 'public', plainHttp: true, body: { maxBytes: 100 }, handle: () => ({}) }]

const keys = await makeKeyPair({ type: 'ecdsa' })
const hour = 3_600_000
const lifetime = { notBefore: Date.now() - hour, notAfter: Date.now() + hour }
const { pem: cert } = await makeSelfSigned({ commonName: 'server', ...keys, serial: 1n, ...lifetime, alternativeNames: [] })
const identity = { cert, key: privateKeyPem(keys.privateKey), ca: [cert], clients: anyClient, requireCertificate: false }

const servers: Listening[] = []
const sockets: net.Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => server.close(0)))
})

async function port(limits: Partial<TimeLimits>, options: Partial<ServeOptions> = {}): Promise<number> {
  const timeLimits = { ...patient, ...limits }
  const server = await serve({ host: '127.0.0.1', port: 0, routes, versions: [], logger: silentLogger, timeLimits, ...options })
  servers.push(server)
  return server.port
}

/** A client that says `text` and nothing after it. */
function says(socket: net.Socket, text: string): { socket: net.Socket; heard: () => string } {
  sockets.push(socket)
  let heard = ''
  socket.on('data', (chunk) => (heard += chunk)).on('error', () => {})
  socket.write(text)
  return { socket, heard: () => heard }
}
const overTcp = (at: number, text: string) => says(net.connect(at, '127.0.0.1'), text)
const overTls = (at: number, text: string) => says(tls.connect({ port: at, host: '127.0.0.1', rejectUnauthorized: false }), text)
const POST = 'POST / HTTP/1.1\r\nhost: x\r\n'

test('a handshake that comes to no end is cut off', async () => {
  const { socket } = overTcp(await port({ handshake: SHORT }, { tls: identity }), '\x16\x03\x01') // the first bytes of a ClientHello
  await until('the end of the connection', () => socket.destroyed)
})

test.each<[Partial<TimeLimits>, string, string]>([
  [{ headers: SHORT }, 'headers', POST],
  [{ headers: SHORT, request: SHORT }, 'a request', `${POST}content-length: 50\r\n\r\n{`],
] as const)('%s that come to no end are answered with 408 and cut off, with TLS and without', async (limits, _what, text) => {
  const plain = overTcp(await port(limits), text)
  const secure = overTls(await port(limits, { tls: identity }), text)
  for (const { socket, heard } of [plain, secure]) {
    await until('the end of the connection', () => socket.destroyed)
    expect(heard()).toMatch(/^HTTP\/1\.1 408 /)
  }
})

test('a connection that is idle after an answer is closed', async () => {
  const { socket, heard } = overTcp(await port({}, { keepAliveSeconds: 0.1 }), `${POST}content-length: 2\r\n\r\n{}`)
  await until('the end of the connection', () => socket.destroyed)
  expect(heard()).toMatch(/^HTTP\/1\.1 200 /)
})

test('when nothing is said, each of these times is limited, to a minute at most', () => {
  const values = Object.values(TIME_LIMITS)
  expect(Object.keys(TIME_LIMITS)).toEqual(['handshake', 'headers', 'request', 'check'])
  for (const value of values) expect([value >= 1000, value <= 60_000]).toEqual([true, true])
})
