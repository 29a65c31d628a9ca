import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { anyClient, temporaryKeylimeDir, until } from '../../servers.ts'

const MIB = 1 << 20
const HUGE = 120 * MIB
const home = temporaryKeylimeDir()
let plain: Listening
let secure: Listening

const routes: Route[] = [
  { method: 'POST', path: '/admin', access: 'admin', plainHttp: true, body: { maxBytes: HUGE }, handle: () => ({}) },
  { method: 'POST', path: '/small', access: 'public', plainHttp: true, handle: () => ({}) },
  { method: 'POST', path: '/large', access: 'public', plainHttp: true, body: { maxBytes: 3 * MIB, as: 'bytes' }, handle: () => ({}) },
]

beforeAll(async () => {
  await (await startVerifier(loadVerifierSettings(home.env), silentLogger)).stop() // makes the certificates
  const read = (name: string) => fs.readFileSync(path.join(home.dir, 'cv_ca', name), 'utf8')
  const identity = {
    cert: read('server-cert.crt'),
    key: read('server-private.pem'),
    ca: [read('cacert.crt')],
    requireCertificate: false,
    clients: anyClient,
  }
  const shared = { host: '127.0.0.1', port: 0, routes, versions: ['2.6'], logger: silentLogger }
  plain = await serve(shared)
  secure = await serve({ ...shared, tls: identity })
})
afterAll(async () => {
  await Promise.all([plain.close(0), secure.close(0)])
  home.remove()
})

/** A connection that notes what it got and how it ended. */
class Peer {
  readonly socket: net.Socket
  received = ''
  ended = false
  closed = false
  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', (chunk) => (this.received += chunk))
    socket.on('end', () => (this.ended = true))
    socket.on('close', () => (this.closed = true))
    socket.on('error', () => undefined)
  }
  /** Sends for ever, as fast as the other side takes it. */
  pour(chunked = false): void {
    const content = Buffer.alloc(64 << 10, 'x')
    const piece = chunked ? Buffer.concat([Buffer.from('10000\r\n'), content, Buffer.from('\r\n')]) : content
    const pour = () => {
      while (this.socket.writable) if (!this.socket.write(piece)) return void this.socket.once('drain', pour)
    }
    pour()
  }
}
const overTcp = () => new Peer(net.connect(plain.port, '127.0.0.1'))
const overTls = () => new Peer(tls.connect({ port: secure.port, host: '127.0.0.1', rejectUnauthorized: false }))
const head = (method: string, path: string, ...headers: string[]) =>
  `${[`${method} ${path} HTTP/1.1`, 'host: x', ...headers].join('\r\n')}\r\n\r\n`

const refusals: [string, string, string, number][] = [
  ['what only an administrator may', 'POST', '/admin', 403],
  ['a path that is not there', 'POST', '/nothing', 404],
  ['a method that is not there', 'PUT', '/small', 405],
  ['more than the route takes', 'POST', '/small', 413],
]
describe.each([
  ['TCP', overTcp],
  ['TLS', overTls],
])('over %s', (_name, connect) => {
  test.each(refusals)('whoever sends 120 MB for %s gets the answer whole, and is cut off unread', async (_what, method, path, status) => {
    const peer = connect()
    peer.socket.write(head(method, path, `content-length: ${HUGE}`))
    peer.pour()
    await until('the end', () => peer.closed)
    expect(peer.received).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    const [headers, body] = peer.received.split('\r\n\r\n') as [string, string]
    expect(headers.toLowerCase()).toContain('connection: close')
    expect(headers.toLowerCase()).toContain(`content-length: ${Buffer.byteLength(body)}`)
    expect(peer.socket.bytesWritten).toBeLessThan(32 * MIB) // what the buffers of both sides take
  })

  test('a body without a length is cut off where it becomes too long', async () => {
    const peer = connect()
    peer.socket.write(head('POST', '/small', 'transfer-encoding: chunked'))
    peer.pour(true)
    await until('the end', () => peer.closed)
    expect(peer.received).toMatch(/^HTTP\/1.1 413 .*larger than 65536 bytes/s)
    expect(peer.socket.bytesWritten).toBeLessThan(32 * MIB)
  })

  test('a small request that is refused leaves the connection for the next one', async () => {
    const peer = connect()
    peer.socket.write(`${head('POST', '/nothing', 'content-length: 1000')}${'x'.repeat(1000)}`)
    await until('the first answer', () => peer.received.startsWith('HTTP/1.1 404'))
    peer.received = ''
    peer.socket.write(`${head('POST', '/small', 'content-length: 2')}{}`)
    await until('the second answer', () => peer.received.startsWith('HTTP/1.1 200'))
    expect(peer.ended).toBe(false)
    peer.socket.destroy()
  })
})

test('who asks before sending is told to go on only where the body is read', async () => {
  const peer = overTls()
  peer.socket.write(head('POST', '/admin', 'content-length: 10', 'expect: 100-continue'))
  await until('the end', () => peer.closed)
  expect(peer.received).toMatch(/^HTTP\/1.1 403 /)
  const other = overTls()
  other.socket.write(head('POST', '/small', 'content-length: 2', 'expect: 100-continue'))
  await until('the invitation', () => other.received.startsWith('HTTP/1.1 100 '))
  other.socket.write('{}')
  await until('the answer', () => other.received.includes('HTTP/1.1 200 '))
  other.socket.destroy()
})

test('our own client gets the answer though it is still sending', async () => {
  const client = openApiClient({ url: `http://127.0.0.1:${plain.port}`, name: 'server', timeoutSeconds: 10 })
  expect(await client.request('POST', '/small', { body: 'x'.repeat(HUGE) })).toMatchObject({ status: 413 })
  expect(await client.request('POST', '/small', { body: {} })).toMatchObject({ status: 200 })
  await client.close()
})

test('bodies of one address have a bounded sum; small ones go on, and what is left gives its room back', async () => {
  const unfinished = overTcp()
  unfinished.socket.write(head('POST', '/large', `content-length: ${3 * MIB}`))
  unfinished.socket.write(Buffer.alloc(1.9 * MIB))
  const refused = overTcp()
  await until('one too much', () => {
    if (refused.received === '' && refused.socket.bytesWritten === 0) {
      refused.socket.write(head('POST', '/large', `content-length: ${2 * MIB}`))
      refused.socket.write(Buffer.alloc(1.9 * MIB))
    }
    return refused.closed || unfinished.closed
  })
  const cut = refused.closed ? refused : unfinished
  const other = refused.closed ? unfinished : refused
  expect(cut.received).toMatch(/^HTTP\/1.1 429 .*send them one after the other/s)
  const small = overTcp()
  small.socket.write(`${head('POST', '/small', 'content-length: 2')}{}`)
  await until('a small one', () => small.received.startsWith('HTTP/1.1 200'))
  for (const peer of [other, small]) peer.socket.destroy()
  await until('room', async () => {
    const next = overTcp()
    next.socket.write(head('POST', '/large', `content-length: ${MIB}`))
    next.socket.write(Buffer.alloc(MIB))
    await until('an answer', () => next.received !== '')
    next.socket.destroy()
    return next.received.startsWith('HTTP/1.1 200')
  })
})

test('of a hundred unfinished bodies of one address the oldest are cut off with an answer, and new ones are served', async () => {
  const peers: Peer[] = []
  for (let i = 0; i < 100; i++) {
    const peer = overTcp()
    peer.socket.write(`${head('POST', '/small', 'content-length: 100')}{`)
    peers.push(peer)
  }
  await until('the oldest to be cut off', () => peers.filter((peer) => peer.closed).length >= 68)
  expect(peers.filter((peer) => peer.closed).every((peer) => peer.received.startsWith('HTTP/1.1 429 '))).toBe(true)
  const honest = overTcp()
  honest.socket.write(`${head('POST', '/small', 'content-length: 2')}{}`)
  await until('an answer', () => honest.received.startsWith('HTTP/1.1 200'))
  for (const peer of [...peers, honest]) peer.socket.destroy()
})
