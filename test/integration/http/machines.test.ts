import net from 'node:net'
import { KeylimeError } from '../../../src/core/errors.ts'
import type { ApiReply, ApiRequest, Route } from '../../../src/io/http/route.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'

/** Each is served three times: to anybody, by way of koa, and past it to a machine with a token, and to a fleet that registers. */
const served: Record<string, (request: ApiRequest) => ApiReply | Promise<ApiReply>> = {
  envelope: () => ({ results: { one: 1 } }),
  message: () => ({ status: 409, message: 'it is there already' }),
  json: () => ({ status: 201, headers: { Location: '/x', 'Retry-After': '4' }, raw: { type: 'application/json', body: '{"ä":"€"}' } }),
  'other-type': () => ({ status: 202, raw: { type: 'application/vnd.api+json', body: '{}' } }),
  bytes: () => ({ raw: { type: 'application/octet-stream', body: Buffer.from([1, 2, 3]) } }),
  pieces: () => ({ raw: { type: 'application/vnd.api+json', body: pieces() } }),
  empty: () => ({ raw: { type: 'application/json', body: '' } }),
  none: () => ({ status: 204 }),
  closes: () => ({ headers: { Connection: 'close' } }),
  refuses: () => Promise.reject(new KeylimeError('conflict', 'said on purpose')),
  fails: () => Promise.reject(new Error('secret detail')),
  tells: ({ method, path, version, body, headers, remoteAddress, query, peer }) => ({
    results: {
      method,
      path: path.replace(/\/(machine|anybody|fleet)/, ''),
      version,
      body,
      remoteAddress,
      query: [...query],
      peer,
      x: headers['x-x'],
    },
  }),
}

async function* pieces(): AsyncGenerator<Buffer> {
  for (const text of ['{', '"a":', '1}']) yield Buffer.from(text)
}

const routes: Route[] = Object.entries(served).flatMap(([name, handle]) => [
  { method: 'POST', path: `/anybody/:id/${name}`, access: 'public', plainHttp: true, body: { maxBytes: 1000 }, handle },
  { method: 'POST', path: `/fleet/:id/${name}`, access: 'public', plainHttp: true, fleet: true, body: { maxBytes: 1000 }, handle },
  { method: 'POST', path: `/machine/:id/${name}`, access: 'agent', plainHttp: true, body: { maxBytes: 1000 }, handle },
])
let server: Listening
const errors: string[] = []

beforeAll(async () => {
  const logger = { ...silentLogger, error: (text: string) => errors.push(text) }
  const agentOf = (token: string) => (token === 'good' ? 'a%b' : token === 'other' ? 'other' : null)
  server = await serve({ host: '127.0.0.1', port: 0, routes, versions: ['2.6'], logger, agentOf })
})
afterAll(() => server.close(0))

const DATE = /^date: .*\r\n/im

/** The answer to these bytes, as it came, without its date. */
function answered(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(text))
    let received = ''
    socket.on('data', (chunk) => (received += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received.replace(DATE, '')))
  })
}

const request = (target: string, body: string, ...headers: string[]) =>
  [`POST ${target} HTTP/1.1`, 'host: x', 'connection: close', 'authorization: Bearer good', ...headers, '', body].join('\r\n')
const withLength = (target: string, body: string, ...headers: string[]) =>
  request(target, body, `content-length: ${body.length}`, ...headers)
/** Parts of an answer in the order of names, because headers have none. */
function partsOf(answer: string) {
  const [head = '', ...body] = answer.split('\r\n\r\n')
  const [status, ...headers] = head.split('\r\n')
  return {
    status,
    headers: headers.map((line) => line.toLowerCase()).sort(),
    body: body.join('\r\n\r\n').replaceAll(/machine|fleet/g, 'anybody'),
  }
}

test.each<[string, (way: string) => string]>([
  ...Object.keys(served).map((name): [string, (way: string) => string] => [name, (way) => withLength(`/${way}/a%25b/${name}`, '{"a":1}')]),
  ['no body', (way) => request(`/${way}/a%25b/tells`, '')],
  ['a body of blanks', (way) => withLength(`/${way}/a%25b/tells`, '  ')],
  ['a body in chunks', (way) => request(`/${way}/a%25b/tells`, '3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n', 'transfer-encoding: chunked')],
  ['a query, and a header', (way) => withLength(`/${way}/a%25b/tells?x=1&y=%20`, '{}', 'x-x: y')],
  ['a query with a fragment', (way) => withLength(`/${way}/a%25b/tells?x=1#y`, '{}')],
  ['a target of absolute form', (way) => withLength(`http://x/${way}/a%25b/tells?x=1`, '{}')],
  ['a slash at the end, and one at the beginning', (way) => withLength(`/${way}/a%25b/tells/`, '{}')],
  ['a body that is no JSON', (way) => withLength(`/${way}/a%25b/tells`, '{')],
  ['a body that is too large', (way) => withLength(`/${way}/a%25b/tells`, 'x'.repeat(1001))],
  ['one that announces too much', (way) => request(`/${way}/a%25b/tells`, '', `content-length: ${1 << 20}`)],
  ['one that asks before it sends', (way) => withLength(`/${way}/a%25b/tells`, '{}', 'expect: 100-continue')],
])('what is answered is the same to a machine, to a fleet and to anybody: %s', async (_, ask) => {
  const [machine, fleet, anybody] = await Promise.all(['machine', 'fleet', 'anybody'].map((way) => answered(ask(way))))
  expect(machine).toMatch(/^HTTP\/1\.1 \d{3} /)
  expect(partsOf(machine!)).toEqual(partsOf(anybody!))
  expect(partsOf(fleet!)).toEqual(partsOf(anybody!))
})

test('a bug is told in the log alone', () => {
  expect(errors.filter((text) => /unexpected error/.test(text))).toHaveLength(3)
})

test.each([
  ['no token', '/machine/a%25b/tells', 'x: y', /^HTTP\/1\.1 401 .*a token of a session is needed/s],
  ['an unknown token', '/machine/a%25b/tells', 'authorization: Bearer bad', /^HTTP\/1\.1 401 .*not known/s],
  ['the token of another machine', '/machine/a%25b/tells', 'authorization: Bearer other', /^HTTP\/1\.1 403 .*another agent/s],
])('%s is refused before the body is read', async (_, target, header, refusal) => {
  const text = [`POST ${target} HTTP/1.1`, 'host: x', 'connection: close', header, 'content-length: 100000', '', '{'].join('\r\n')
  expect(await answered(text)).toMatch(refusal)
})
