import { randomBytes } from 'node:crypto'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { jest } from '@jest/globals'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { systemClock } from '../../../src/io/clock.ts'
import { openVerifierClient, type VerifierClient } from '../../../src/io/http/verifier-client.ts'
import { groupsOf, INTERNAL_ERROR, tlsFront, X25519_ALONE } from '../../tls-front.ts'

async function identity(name: string) {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 }
  const { pem } = await makeSelfSigned({ commonName: name, ...pair, serial: 1n, ...times, alternativeNames: [] })
  return { cert: pem, key: privateKeyPem(pair.privateKey) }
}

const [verifier, thief] = await Promise.all(['verifier', 'thief'].map(identity))
/** Of connections of the servers, in order: whether a session was resumed. */
let resumed: boolean[]
const closers: (() => unknown)[] = []
beforeEach(() => {
  resumed = []
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** A verifier that closes each connection after its answer: the next request has another one. */
async function serve(changes: https.ServerOptions = {}, port = 0): Promise<https.Server> {
  const options = { ...verifier!, ca: verifier!.cert, requestCert: true, rejectUnauthorized: false, ...changes }
  const server = https.createServer(options, (_request, response) => {
    response.shouldKeepAlive = false
    response.end('{}')
  })
  server.on('secureConnection', (socket: TLSSocket) => resumed.push(socket.isSessionReused()))
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  closers.push(() => new Promise((done) => server.close(done)))
  return server
}
const portOf = (server: https.Server) => (server.address() as AddressInfo).port

function clientOf(port: number): VerifierClient {
  const checks = { ca: [verifier!.cert], acceptAnyCertificate: false, acceptAnyName: true }
  const client = openVerifierClient({ url: `https://127.0.0.1:${port}`, ...checks, timeoutMs: 5000, wholeMs: 5000, clock: systemClock })
  closers.push(() => client.close())
  return client
}

async function ask(client: VerifierClient): Promise<number> {
  const { status } = await client.request({ method: 'GET', path: '/', contentType: 'application/json', maxBytes: 100 })
  return status
}

async function front(port: number, refuse: ((socket: Socket) => void) | null) {
  const before = await tlsFront(port, refuse)
  closers.push(before.close)
  return before
}

test('an agent verifies its verifier once, and resumes from then on, by X25519 alone', async () => {
  const { port, hellos } = await front(portOf(await serve()), null)
  const client = clientOf(port)
  for (let i = 0; i < 4; i++) expect(await ask(client)).toBe(200)
  expect(resumed).toEqual([false, true, true, true])
  const alone = expect.stringMatching(X25519_ALONE)
  expect(hellos.map(groupsOf)).toEqual([expect.not.stringMatching(X25519_ALONE), alone, alone, alone])
})

test('an hour after it was verified a verifier is verified again, however often the session was renewed meanwhile', async () => {
  const now = performance.now.bind(performance)
  let minutes = 0
  const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + minutes * 60_000)
  closers.push(() => clock.mockRestore())
  const client = clientOf(portOf(await serve()))
  for (minutes of [0, 30, 55, 61, 62]) await ask(client)
  expect(resumed).toEqual([false, true, true, false, true])
})

test('a new trust verifies anew: a session belongs to one client', async () => {
  const port = portOf(await serve())
  for (let i = 0; i < 2; i++) await ask(clientOf(port))
  expect(resumed).toEqual([false, false])
})

test('a verifier that was started anew is verified again, and resumed after a handshake that is safe from quantum computers', async () => {
  const server = await serve()
  const { port, hellos } = await front(portOf(server), null)
  const client = clientOf(port)
  await ask(client)
  server.setTicketKeys(randomBytes(48))
  for (let i = 0; i < 3; i++) await ask(client)
  expect(resumed).toEqual([false, false, false, true])
  const [alone, hybrid] = [expect.stringMatching(X25519_ALONE), expect.not.stringMatching(X25519_ALONE)]
  expect(hellos.map(groupsOf)).toEqual([hybrid, alone, hybrid, alone])
})

test('who took the place of the verifier has no session secret, and is verified', async () => {
  const server = await serve()
  const port = portOf(server)
  const client = clientOf(port)
  await ask(client)
  await new Promise((done) => server.close(done))
  closers.pop()
  await serve(thief!, port)
  for (let i = 0; i < 2; i++) await expect(ask(client)).rejects.toMatchObject({ code: 'tls_failed' })
})

test('nothing is kept of a server that is not the verifier, however often it is met', async () => {
  const { port, offered } = await front(portOf(await serve(thief!)), null)
  const client = clientOf(port)
  for (let i = 0; i < 3; i++) await expect(ask(client)).rejects.toMatchObject({ code: 'tls_failed' })
  expect(offered()).toBe(0)
})

test('sessions of TLS 1.2 are not resumed', async () => {
  const client = clientOf(portOf(await serve({ maxVersion: 'TLSv1.2' })))
  for (let i = 0; i < 3; i++) await ask(client)
  expect(resumed).toEqual([false, false, false])
})

test('a server that answers a resumption with an alert is asked at once without, and offered no other', async () => {
  const { port, offered } = await front(portOf(await serve()), (socket) => socket.end(INTERNAL_ERROR))
  const client = clientOf(port)
  for (let i = 0; i < 4; i++) expect(await ask(client)).toBe(200)
  expect([offered(), resumed]).toEqual([1, [false, false, false, false]])
})

test('a connection that is cut is not made again at once: a verifier that has too many would have twice as many', async () => {
  const { port, hellos } = await front(portOf(await serve()), (socket) => socket.resetAndDestroy())
  const client = clientOf(port)
  await ask(client)
  await expect(
    client.request({ method: 'GET', path: '/', contentType: 'application/json', maxBytes: 100, holdMs: 1 }),
  ).rejects.toMatchObject({ code: 'unreachable' })
  expect(hellos.length).toBe(2)
  expect(await ask(client)).toBe(200)
  expect(resumed).toEqual([false, false])
})
