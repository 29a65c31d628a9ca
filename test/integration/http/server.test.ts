import http from 'node:http'
import net from 'node:net'
import { KeylimeError } from '../../../src/core/errors.ts'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { until } from '../../servers.ts'

const routes: Route[] = [
  { method: 'POST', path: '/small', access: 'public', plainHttp: true, body: { maxBytes: 10 }, handle: () => ({}) },
  {
    method: 'POST',
    path: '/v:version/echo/:id',
    access: 'public',
    plainHttp: true,
    body: { maxBytes: 1000, json: { maxDepth: 2, maxValues: 20 } },
    handle: ({ params, body, version, query }) => ({ results: { params, body, version, query: [...query] } }),
  },
  {
    method: 'GET',
    path: '/bug',
    access: 'public',
    plainHttp: true,
    handle: () => {
      throw new Error('secret detail')
    },
  },
  {
    method: 'GET',
    path: '/known',
    access: 'public',
    plainHttp: true,
    handle: () => {
      throw new KeylimeError('conflict', 'said on purpose')
    },
  },
  { method: 'GET', path: '/secure', access: 'public', handle: () => ({}) },
  { method: 'DELETE', path: '/gone', access: 'public', plainHttp: true, handle: () => ({ status: 204 }) },
]
let server: Listening
const errors: string[] = []

beforeAll(async () => {
  const logger = { ...silentLogger, error: (text: string) => errors.push(text) }
  server = await serve({ host: '127.0.0.1', port: 0, routes, versions: ['2.0', '2.6'], logger })
})
afterAll(() => server.close(0))

const client = () => openApiClient({ url: `http://127.0.0.1:${server.port}`, name: 'server', timeoutSeconds: 5 })
async function ask(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, options: object = {}) {
  const c = client()
  try {
    return await c.request(method, path, options)
  } finally {
    await c.close()
  }
}

/** A request whose body comes in chunks, without a length. */
const chunked = (size: number) =>
  new Promise<number>((resolve, reject) => {
    const request = http.request(
      { port: server.port, host: '127.0.0.1', method: 'POST', path: '/v2.6/echo/x', headers: { 'transfer-encoding': 'chunked' } },
      (response) => {
        response.resume()
        resolve(response.statusCode!)
      },
    )
    request.on('error', reject)
    for (let sent = 0; sent < size; sent += 100) request.write('x'.repeat(100))
    request.end()
  })

test('parameters, query, body and version reach the handler', async () => {
  expect(await ask('POST', '/v2.6/echo/a%20b?q=1', { body: { n: 1 } })).toMatchObject({
    status: 200,
    message: 'Success',
    results: { params: { id: 'a b' }, body: { n: 1 }, version: '2.6', query: [['q', '1']] },
  })
  expect((await ask('POST', '/v2/echo/x/', { body: {} })).results).toMatchObject({ version: '2.6' })
})
test('a body that is too large is refused, with a length and without', async () => {
  expect((await ask('POST', '/v2.6/echo/x', { body: 'x'.repeat(2000) })).status).toBe(413)
  expect(await chunked(5000)).toBe(413)
})
test('each route takes as much as it says', async () => {
  expect((await ask('POST', '/small', { body: 'x'.repeat(20) })).status).toBe(413)
  expect((await ask('POST', '/small', { body: {} })).status).toBe(200)
})
test('a body that is no JSON is refused', async () => expect(await chunked(500)).toBe(400))
test('a body that is nested too deep or has too many values is refused', async () => {
  expect(await ask('POST', '/v2.6/echo/x', { body: [[[]]] })).toMatchObject({
    status: 400,
    message: 'the body is nested deeper than 2 levels',
  })
  expect(await ask('POST', '/v2.6/echo/x', { body: Array(20).fill(0) })).toMatchObject({
    status: 400,
    message: 'the body has more than 20 values',
  })
  expect((await ask('POST', '/v2.6/echo/x', { body: Array(19).fill(0) })).status).toBe(200)
})
test('a bug says nothing outward and everything to the log', async () => {
  expect(await ask('GET', '/bug')).toMatchObject({ status: 500, message: 'Internal Server Error', results: {} })
  expect(errors.join()).toContain('/bug')
})
test('a failure on purpose has the status of its code', async () =>
  expect(await ask('GET', '/known')).toMatchObject({ status: 409, message: 'said on purpose' }))
test('a route for TLS is not served without it', async () => expect((await ask('GET', '/secure')).status).toBe(400))
test('204 has no body', async () => expect(await ask('DELETE', '/gone')).toMatchObject({ status: 204, results: {} }))
test('unknown paths, methods and versions', async () => {
  expect((await ask('GET', '/nothing')).status).toBe(404)
  expect((await ask('PUT', '/v2.6/echo/x', { body: {} })).status).toBe(405)
  expect((await ask('POST', '/v2.5/echo/x', { body: {} })).status).toBe(404)
  expect((await ask('POST', '/v2.6/echo/%ff', { body: {} })).status).toBe(404)
})
test.each([
  'http://[::1/version',
  'http://',
  'http://[',
  'http://a:b:c/',
  '//[::1/version',
  '/%',
  '/%00',
  '*',
  'x',
  'http://[::1]:99999/version',
  '/\\',
])('the request target %s is answered as the mistake that it is, and the server has no fault', async (target) => {
  errors.length = 0
  const socket = net.connect(server.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => (text += chunk)).on('error', () => {})
  socket.write(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
  await until('the answer', () => socket.closed)
  expect(text).toMatch(/^HTTP\/1\.1 40[04] /)
  expect(errors).toEqual([])
})
test('a target of absolute form is that of its path', async () => {
  const request = http.request({ port: server.port, path: `http://127.0.0.1:${server.port}/known`, method: 'GET' })
  const status = await new Promise((resolve) => request.on('response', (response) => resolve(response.resume().statusCode)).end())
  expect(status).toBe(409)
})
test('a hundred half-open and silent connections hold up nobody', async () => {
  const sockets = Array.from({ length: 100 }, (_, i) => {
    const socket = net.connect(server.port, '127.0.0.1')
    socket.on('error', () => {})
    if (i % 2) socket.write('POST /v2.6/echo/x HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{')
    return socket
  })
  await until('all connected', () => sockets.every((s) => s.readyState === 'open'))
  const start = performance.now()
  expect((await ask('POST', '/v2.6/echo/x', { body: {} })).status).toBe(200)
  expect(performance.now() - start).toBeLessThan(2000)
  for (const socket of sockets) socket.destroy()
})
test('a port in use is said with its number', async () => {
  await expect(serve({ host: '127.0.0.1', port: server.port, routes, versions: [], logger: silentLogger })).rejects.toThrow(
    `127.0.0.1:${server.port} is already in use`,
  )
})

test('an address of another machine is said, and what to do', async () => {
  await expect(serve({ host: '192.0.2.1', port: 0, routes, versions: [], logger: silentLogger })).rejects.toMatchObject({
    message: 'cannot listen on 192.0.2.1:0: this machine does not have that address',
    hint: expect.stringContaining('ip address'),
  })
})
