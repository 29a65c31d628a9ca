import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { createSecureContext, type TLSSocket } from 'node:tls'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { createAgentClient } from '../../../src/io/http/agent-client.ts'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import { openWebhook } from '../../../src/io/http/webhook.ts'
import { until } from '../../servers.ts'
import { walk } from '../../thorough.ts'

const MIB = 1 << 20
const piece = Buffer.alloc(64 << 10, '[{},')

/** Bytes that the last answer could get rid of, and its connection. */
let sent = 0
let socket: Socket
/** Answers by path: how hostile servers do. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  socket = request.socket
  sent = 0
  request.resume()
  const path = request.url!.split('?')[0]
  if (path === '/announced') return void response.writeHead(200, { 'content-length': 99 * MIB }).flushHeaders()
  if (path === '/endless') return void pour(response)
  if (path === '/trickle') {
    response.writeHead(200, { 'content-length': 1000 })
    const timer = setInterval(() => response.write('x'), 20)
    return void response.on('close', () => clearInterval(timer))
  }
  if (path === '/nested') return void response.end('['.repeat(50_000))
  if (path === '/values') return void response.end(`[${'{},'.repeat(20_000)}{}]`)
  response.end(JSON.stringify({ status: 'Success', results: { path } }))
}

/** As fast as the other side takes it, for ever. */
function pour(response: http.ServerResponse): void {
  while (!response.destroyed) {
    sent += piece.length
    if (!response.write(piece)) return void response.once('drain', () => pour(response))
  }
}

const keys = await makeKeyPair({ type: 'ecdsa' })
const certificate = await makeSelfSigned({
  commonName: 'hostile',
  ...keys,
  serial: 1n,
  notBefore: Date.now() - 60_000,
  notAfter: Date.now() + 3_600_000,
  alternativeNames: [{ type: 'ip', value: '127.0.0.1' }],
})
const tls = { cert: certificate.pem, key: privateKeyPem(keys.privateKey) }
const plain = http.createServer(answer)
const secure = https.createServer(tls, answer)
const port = (server: http.Server | https.Server) => (server.address() as AddressInfo).port
const client = createAgentClient({ context: undefined, timeoutSeconds: 2, largestAnswer: 96 << 20, maxConnections: 100 })

beforeAll(async () => {
  for (const server of [plain, secure]) await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterAll(() => {
  client.close()
  for (const server of [plain, secure]) {
    server.closeAllConnections()
    server.close()
  }
})

async function askAgent(path: string, maxBytes: number) {
  const connection = client.connect({ host: '127.0.0.1', port: port(secure), pin: certificate.pem })
  try {
    return await connection.request({ method: 'GET', path, maxBytes })
  } finally {
    connection.close()
  }
}

async function askServer(path: string) {
  const api = openApiClient({ url: `http://127.0.0.1:${port(plain)}`, name: 'registrar', timeoutSeconds: 2 })
  try {
    return await api.request('GET', path)
  } finally {
    await api.close()
  }
}

describe('an agent', () => {
  test('gives its answer as bytes', async () => {
    const { status, body } = await askAgent('/fine', 1000)
    expect([status, JSON.parse(body.toString())]).toEqual([200, { status: 'Success', results: { path: '/fine' } }])
  })
  test('that announces more than is asked for is read no further than its headers', async () => {
    await expect(askAgent('/announced', MIB)).rejects.toMatchObject({
      code: 'payload_too_large',
      message: `the answer is larger than ${MIB} bytes`,
    })
    await until('the connection is closed', () => socket.destroyed)
  })
  test('that sends without end is cut off at the limit of the request', async () => {
    await expect(askAgent('/endless', MIB)).rejects.toMatchObject({ code: 'payload_too_large' })
    await until('the connection is closed', () => socket.destroyed)
    expect(sent).toBeLessThan(32 * MIB) // what buffers of both sides take besides
  })
  walk('that trickles is cut off when the time of the request is over', async () => {
    await expect(askAgent('/trickle', MIB)).rejects.toMatchObject({ code: 'timeout' })
    await until('the connection is closed', () => socket.destroyed)
  })
  test('may be asked again on a new connection after it was cut off', async () => {
    const connection = client.connect({ host: '127.0.0.1', port: port(secure), pin: certificate.pem })
    await expect(connection.request({ method: 'GET', path: '/endless', maxBytes: 1000 })).rejects.toMatchObject({
      code: 'payload_too_large',
    })
    expect(await connection.request({ method: 'GET', path: '/fine', maxBytes: 1000 })).toMatchObject({ status: 200 })
    connection.close()
  })
})

test('an agent that refuses the certificate of a connection is asked again with the one that counts by now, and once only', async () => {
  const made = async (name: string) => {
    const pair = await makeKeyPair({ type: 'ecdsa' })
    const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 }
    const { pem } = await makeSelfSigned({ commonName: name, ...pair, serial: 2n, ...times, alternativeNames: [] })
    return { cert: pem, current: createSecureContext({ cert: pem, key: privateKeyPem(pair.privateKey) }) }
  }
  let believed = 'old'
  const seen: string[] = []
  const agent = https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    const name = String((request.socket as TLSSocket).getPeerCertificate().subject.CN)
    seen.push(name)
    response.writeHead(name === believed ? 200 : 403).end('{}')
  })
  await new Promise<void>((done) => agent.listen(0, '127.0.0.1', done))
  const context = await made('old')
  const renewed = createAgentClient({ context, timeoutSeconds: 2, largestAnswer: MIB, maxConnections: 100 })
  const connection = renewed.connect({ host: '127.0.0.1', port: port(agent), pin: certificate.pem })
  const ask = async () => (await connection.request({ method: 'GET', path: '/', maxBytes: 100 })).status
  expect(await ask()).toBe(200)
  Object.assign(context, await made('new'))
  expect(await ask()).toBe(200) // who believes the old one still is not disturbed
  believed = 'new'
  expect(await ask()).toBe(200)
  believed = 'another'
  expect(await ask()).toBe(403)
  expect(seen).toEqual(['old', 'old', 'old', 'new', 'new'])
  connection.close()
  renewed.close()
  agent.closeAllConnections()
  agent.close()
})

describe('whoever answers in place of the registrar', () => {
  test('can answer', async () => expect(await askServer('/fine')).toMatchObject({ status: 200, results: { path: '/fine' } }))
  test.each([
    ['/announced', 'payload_too_large'],
    ['/endless', 'payload_too_large'],
    ['/trickle', 'timeout'],
    ['/nested', 'malformed'],
    ['/values', 'malformed'],
  ])('with %s makes one request fail and costs no more', async (path, code) => {
    await expect(askServer(path)).rejects.toMatchObject({ code })
    if (path === '/endless') await until('the connection is closed', () => socket.destroyed)
    expect(sent).toBeLessThan(32 * MIB)
  })
})

test('a receiver of webhooks that answers without end has taken it, and is read no further', async () => {
  const hook = openWebhook({ url: `https://127.0.0.1:${port(secure)}/endless`, ...tls, ca: [certificate.pem], timeoutSeconds: 2 })
  await hook.post({})
  await until('the connection is closed', () => socket.destroyed)
  expect(sent).toBeLessThan(32 * MIB)
  await hook.close()
})
