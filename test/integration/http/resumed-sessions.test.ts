import { randomBytes } from 'node:crypto'
import https from 'node:https'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Worker } from 'node:worker_threads'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { type AgentClient, createAgentClient } from '../../../src/io/http/agent-client.ts'
import type { AgentConnection } from '../../../src/io/http/agent-connection.ts'
import { createAnswerRoom } from '../../../src/io/http/answer-room.ts'
import { clientContext } from '../../../src/io/http/api-client.ts'
import type { BulkyConnections } from '../../../src/io/http/bulky-connections.ts'
import { ConnectionBudget } from '../../../src/io/http/connection-budget.ts'
import { KeptConnection, type PendingRequest } from '../../../src/io/http/kept-connection.ts'
import type { ClientContext } from '../../../src/io/http/pinned-connector.ts'
import { until } from '../../servers.ts'
import { groupsOf, INTERNAL_ERROR, tlsFront, X25519_ALONE } from '../../tls-front.ts'

async function identity(name: string) {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 }
  const { pem } = await makeSelfSigned({ commonName: name, ...pair, serial: 1n, ...times, alternativeNames: [] })
  return { cert: pem, key: privateKeyPem(pair.privateKey) }
}

const [agent, thief, verifier, renewed] = await Promise.all(['agent', 'thief', 'verifier', 'renewed'].map(identity))
const TICKET_KEYS = randomBytes(48)
/** Connections of the servers, in order: whether a session was resumed, and who the client is. */
let seen: { resumed: boolean; client: string }[]
const closers: (() => void)[] = []
let client: AgentClient
const context: ClientContext = clientContext(verifier!)
beforeEach(() => {
  seen = []
  Object.assign(context, clientContext(verifier!))
  client = createAgentClient({ context, timeoutSeconds: 5, largestAnswer: 1000, maxConnections: 100 })
  closers.push(() => client.close())
})
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** An agent that closes each connection after its answer, as the Rust agent does after five seconds. */
async function serve(changes: https.ServerOptions = {}, keeps = false): Promise<https.Server & { port: number }> {
  const options = { ...agent!, ca: [verifier!.cert, renewed!.cert], requestCert: true, rejectUnauthorized: true, ...changes }
  const server = https.createServer(options, (_request, response) => {
    if (!keeps) response.shouldKeepAlive = false
    response.end('{}')
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    const client = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : ''
    seen.push({ resumed: socket.isSessionReused(), client })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(server, { port: (server.address() as AddressInfo).port })
}

function connect(port: number, pin = agent!.cert): AgentConnection {
  const connection = client.connect({ host: '127.0.0.1', port, pin })
  closers.push(() => connection.close())
  return connection
}
const ask = async (connection: AgentConnection) => {
  const { status } = await connection.request({ method: 'GET', path: '/', maxBytes: 100 })
  await until('it is closed', () => client.figures.open === 0)
  return status
}
/** As the client replaces what keeps memory, without its rest. */
const renew = (connection: AgentConnection) => (connection as KeptConnection).renew()
const resumed = () => seen.map((connection) => connection.resumed)

test('a machine that closes its connections proves its key once, and the next ones resume; it still sees who asks', async () => {
  const connection = connect((await serve()).port)
  for (let i = 0; i < 4; i++) expect(await ask(connection)).toBe(200)
  expect(seen).toEqual([
    { resumed: false, client: 'verifier' },
    ...Array.from({ length: 3 }, () => ({ resumed: true, client: 'verifier' })),
  ])
  expect(client.figures).toEqual({ open: 0, opened: 4, resumed: 3 })
})

test('a session is never taken of a key that is not the pinned one, however often it is met', async () => {
  const { port, offered } = await front((await serve(thief)).port, () => undefined)
  const connection = connect(port)
  for (let i = 0; i < 3; i++) await expect(ask(connection)).rejects.toMatchObject({ code: 'tls_failed' })
  expect(offered()).toBe(0) // nothing of the thief was kept
  expect(client.figures).toEqual({ open: 0, opened: 0, resumed: 0 })
})

test('a session of one machine is never offered to another, also where that could take it', async () => {
  const [first, second] = [await serve({ ticketKeys: TICKET_KEYS }), await serve({ ...thief!, ticketKeys: TICKET_KEYS })]
  await ask(connect(first.port))
  await ask(connect(second.port, thief!.cert))
  await ask(connect(first.port)) // not even another connection to the same machine has it
  expect(resumed()).toEqual([false, false, false])
})

test('who took the place of a machine and has not its session secrets must prove the pinned key, and cannot', async () => {
  const server = await serve()
  const connection = connect(server.port)
  await ask(connection)
  server.close()
  const other = https.createServer({ ...thief!, requestCert: true, rejectUnauthorized: false }, (_request, response) => response.end('{}'))
  await new Promise<void>((done) => other.listen(server.port, '127.0.0.1', done))
  closers.push(() => other.close())
  await expect(ask(connection)).rejects.toMatchObject({ code: 'tls_failed' })
})

test('with another client certificate the key is proved again: the machine would go on seeing the one before', async () => {
  const connection = connect((await serve()).port)
  await ask(connection)
  await ask(connection)
  Object.assign(context, clientContext(renewed!))
  await ask(connection)
  await ask(connection)
  expect(seen).toEqual([
    { resumed: false, client: 'verifier' },
    { resumed: true, client: 'verifier' },
    { resumed: false, client: 'renewed' },
    { resumed: true, client: 'renewed' },
  ])
})

test('sessions of TLS 1.2 are not resumed', async () => {
  const connection = connect((await serve({ maxVersion: 'TLSv1.2' })).port)
  for (let i = 0; i < 3; i++) await ask(connection)
  expect(resumed()).toEqual([false, false, false])
})

test('a machine that restarted knows no session any more, and proves its key; the next session is of a handshake that is safe from quantum computers', async () => {
  const server = await serve()
  const { port, hellos } = await front(server.port, null)
  const connection = connect(port)
  await ask(connection)
  server.setTicketKeys(randomBytes(48))
  for (let i = 0; i < 3; i++) await ask(connection)
  expect(resumed()).toEqual([false, false, false, true])
  const hybrid = expect.not.stringMatching(X25519_ALONE)
  expect(hellos.map(groupsOf)).toEqual([hybrid, X25519_ALONE, hybrid, X25519_ALONE])
})

async function front(port: number, refuse: ((socket: net.Socket) => void) | null) {
  const before = await tlsFront(port, refuse)
  closers.push(before.close)
  return before
}

test('an agent that answers a resumption with an alert is asked on, and offered no other', async () => {
  const { port, offered } = await front((await serve()).port, (socket) => socket.end(INTERNAL_ERROR))
  const connection = connect(port)
  for (let i = 0; i < 4; i++) expect(await ask(connection)).toBe(200)
  expect([offered(), resumed()]).toEqual([1, [false, false, false, false]])
})

test('an agent that drops a resumption without a word is asked on, and offered no other after three', async () => {
  const { port, offered } = await front((await serve()).port, (socket) => socket.destroy())
  const connection = connect(port)
  for (let i = 0; i < 6; i++) expect(await ask(connection)).toBe(200)
  expect([offered(), seen.length]).toEqual([3, 6])
})

test('beyond the budget a connection is closed after its answer, and those that are kept stay', async () => {
  const server = await serve({}, true)
  client = createAgentClient({ context, timeoutSeconds: 5, largestAnswer: 1000, maxConnections: 1 })
  closers.push(() => client.close())
  const [kept, other] = [connect(server.port), connect(server.port)]
  for (let i = 0; i < 3; i++)
    for (const connection of [kept, other])
      expect(await connection.request({ method: 'GET', path: '/', maxBytes: 100 })).toMatchObject({ status: 200 })
  await until('the other is closed', () => client.figures.open === 1)
  expect(client.figures).toEqual({ open: 1, opened: 4, resumed: 2 })
  kept.close()
  await until('its place is free', () => client.figures.open === 0)
  for (let i = 0; i < 2; i++) await other.request({ method: 'GET', path: '/', maxBytes: 100 })
  expect(client.figures).toEqual({ open: 1, opened: 5, resumed: 3 })
})

test('an answer that came while the verifier was held up for longer than a request may take is read', async () => {
  const place = { cert: agent!.cert, key: agent!.key }
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
     const server = require('node:https').createServer(workerData, (_, response) => setTimeout(() => response.end('{}'), 300))
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`,
    { eval: true, workerData: place },
  )
  closers.push(() => void worker.terminate())
  const port = await new Promise<number>((done) => worker.once('message', done))
  client = createAgentClient({ context, timeoutSeconds: 1, largestAnswer: 1000, maxConnections: 1 })
  closers.push(() => client.close())
  const request = { method: 'GET', path: '/', maxBytes: 100 } as const
  const standStill = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2300)
  const connecting = connect(port)
  const first = connecting.request(request)
  await new Promise((done) => setImmediate(done)) // the handshake is under way
  standStill()
  expect(await first).toMatchObject({ status: 200 })
  const second = connecting.request(request)
  await new Promise((done) => setTimeout(done, 50))
  standStill()
  expect(await second).toMatchObject({ status: 200 })
})

test('only a connection that is to resume agrees on its keys by X25519 alone', async () => {
  const { port, hellos } = await front((await serve()).port, null)
  const connection = connect(port)
  for (let i = 0; i < 3; i++) await ask(connection)
  expect(hellos.map(groupsOf)).toEqual([expect.not.stringMatching(X25519_ALONE), X25519_ALONE, X25519_ALONE])
  expect(resumed()).toEqual([false, true, true])
})

test('an idle connection is replaced by one that resumes its session; a busy one, and one without a session, stay', async () => {
  const answers: (() => void)[] = []
  const server = await serve({}, true)
  const connection = connect(server.port)
  const get = () => connection.request({ method: 'GET', path: '/', maxBytes: 100 })
  expect(renew(connection)).toBe('never') // nothing is proved yet
  await get()
  await until('a session is there', () => renew(connection) === 'done')
  await until('it is closed', () => client.figures.open === 0)
  server.removeAllListeners('request')
  server.on('request', (_request, response) => answers.push(() => response.end('{}')))
  const asked = get()
  await until('it is asked', () => answers.length > 0)
  expect(renew(connection)).toBe('busy')
  answers[0]!()
  expect((await asked).status).toBe(200)
  expect(resumed()).toEqual([false, true])
})

test('a connection counts as bulky after a handshake and an answer that is much larger than the one before, not where all are large', async () => {
  const server = await serve({}, true)
  let size = 0
  server.removeAllListeners('request')
  server.on('request', (_request, response) => response.end('x'.repeat(size)))
  const added: unknown[] = []
  const bulky = { add: (connection: unknown) => added.push(connection), delete: () => undefined } as never as BulkyConnections
  const together = {
    ...{ pending: new Set<PendingRequest>(), room: createAnswerRoom(1 << 20), budget: new ConnectionBudget(1) },
    ...{ figures: { open: 0, opened: 0, resumed: 0 }, bulky },
  }
  const connection = new KeptConnection({ host: '127.0.0.1', port: server.port, pin: agent!.cert }, { context, timeoutMs: 5000 }, together)
  closers.push(() => connection.close())
  const counts: number[] = []
  for (size of [10, 40_000, 40_000, 50_000, 100, 40_000]) {
    await connection.request({ method: 'GET', path: '/', maxBytes: 1 << 20 })
    counts.push(added.length)
  }
  expect(counts).toEqual([1, 2, 2, 2, 2, 3])
})
