import type { Route } from '../../../../src/io/http/route.ts'
import { createRouter } from '../../../../src/io/http/router.ts'

const VERSIONS = ['2.0', '2.1', '2.6', '3.0']
const route = (method: Route['method'], path: string): Route => ({ method, path, access: 'public', handle: () => ({}) })
const routes = [
  route('GET', '/'),
  route('GET', '/version'),
  route('GET', '/v:version/agents'),
  route('GET', '/v:version/agents/:id'),
  route('POST', '/v:version/agents/:id'),
  route('DELETE', '/v:version/agents/:id'),
  route('PUT', '/v:version/agents/:id/stop'),
  route('GET', '/files/*'),
  route('GET', '/:anything/there'),
]
const find = (method: string, path: string) => createRouter(routes, VERSIONS)(method, path)
/** What was found, in one line: the path of the route, the version and the parameters; or what there is instead. */
const found = (method: string, path: string) => {
  const routing = find(method, path)
  if (routing.kind !== 'match') return routing
  const { route: hit, version, params } = routing.match
  return [`${hit.method} ${hit.path}`, version, params]
}

test.each([
  ['/v2.0/agents', '2.0'],
  ['/v2.6/agents', '2.6'],
  ['/v2/agents', '2.6'],
  ['/v3/agents', '3.0'],
])('%s means version %s', (path, version) => expect(found('GET', path)).toEqual(['GET /v:version/agents', version, {}]))

test.each([
  ['/v2.9/agents', '2.9'],
  ['/v1.0/agents', '1.0'],
  ['/v4/agents', '4'],
  ['/v2.60/agents', '2.60'],
  ['/v0/nowhere', '0'],
])('%s asks for a version that does not exist: the answer names it', (path, version) =>
  expect(find('GET', path)).toEqual({ kind: 'version', version }),
)

test.each(['/v/agents', '/v2./agents', '/v2.6.1/agents', '/v2.6x/agents', '/V2.6/agents', '/v-2/agents', '/v1234/agents', '/2.6/agents'])(
  '%s has no version at all',
  (path) => expect(find('GET', path)).toEqual({ kind: 'none' }),
)

test.each(['/version', '/version/'])('%s has no version and needs none', (path) =>
  expect(found('GET', path)).toEqual(['GET /version', '', {}]),
)

test.each([
  ['/v2.6/agents/', 'GET /v:version/agents'],
  ['/v2.6/agents/a/', 'GET /v:version/agents/:id'],
  ['/', 'GET /'],
])('one trailing slash makes no difference: %s', (path, hit) => expect(found('GET', path)).toContain(hit))

test.each(['/v2.6/agents//', '//version', '/v2.6//agents', ''.padEnd(3, '/')])('an empty segment is one that nothing fits: %s', (path) =>
  expect(find('GET', path)).toEqual({ kind: 'none' }),
)

test('agents of API 3.0 put a path behind a URL that ends with a slash', () => {
  expect(find('GET', '//v2.6/agents/x')).toEqual(find('GET', '/v2.6/agents/x'))
})

test('a path with another method: the answer lists those that there are, each once', () => {
  expect(find('PATCH', '/v2.6/agents/a')).toEqual({ kind: 'method', allowed: ['GET', 'POST', 'DELETE'] })
  expect(find('GET', '/v2.6/agents/a/stop')).toEqual({ kind: 'method', allowed: ['PUT'] })
  expect(find('get', '/version')).toEqual({ kind: 'method', allowed: ['GET'] }) // methods are upper case
})

test('a path that no route has is not found, whatever the method is', () => {
  for (const path of ['/nowhere', '/v2.6/agents/a/b', '/v2.6', '/versions']) expect(find('GET', path)).toEqual({ kind: 'none' })
})

test.each([
  ['/v2.6/agents/a%2Fb', 'a/b'],
  ['/v2.6/agents/%C3%A4', 'ä'],
  ['/v2.6/agents/..', '..'],
  ['/v2.6/agents/a+b', 'a+b'],
  ['/v2.6/agents/%2e%2e', '..'],
])('a parameter is one segment, decoded once: %s', (path, id) =>
  expect(found('GET', path)).toEqual(['GET /v:version/agents/:id', '2.6', { id }]),
)

test('what was encoded twice is decoded once', () =>
  expect(found('GET', '/v2.6/agents/%252F')).toEqual(['GET /v:version/agents/:id', '2.6', { id: '%2F' }]))

test.each(['/v2.6/agents/%', '/v2.6/agents/%zz', '/v2.6/agents/%C3', '/files/%ff'])('what cannot be decoded fits nothing: %s', (path) =>
  expect(find('GET', path)).toEqual({ kind: 'none' }),
)

test('fixed segments are compared as they came: an encoded one is another', () => {
  expect(find('GET', '/%76ersion')).toEqual({ kind: 'none' })
  expect(find('GET', '/v2.6/%61gents')).toEqual({ kind: 'none' })
})

test.each([
  ['/files', ''],
  ['/files/', ''],
  ['/files/a', 'a'],
  ['/files/a/b%20c/d', 'a/b c/d'],
])('a last * takes all the rest, also nothing: %s', (path, rest) => expect(found('GET', path)).toEqual(['GET /files/*', '', { '*': rest }]))

test('the first route that fits wins: a fixed path that stands before a parameter keeps its own', () => {
  const handlers = [route('GET', '/a/fixed'), route('GET', '/a/:id'), route('GET', '/*')]
  const hit = (path: string) => {
    const routing = createRouter(handlers, VERSIONS)('GET', path)
    return routing.kind === 'match' ? routing.match.route.path : routing.kind
  }
  expect([hit('/a/fixed'), hit('/a/other'), hit('/a/b/c'), hit('/')]).toEqual(['/a/fixed', '/a/:id', '/*', '/*'])
})

test('names of parameters do not reach the prototype of the result', () => {
  const routing = createRouter([route('GET', '/:id')], VERSIONS)('GET', '/__proto__')
  expect(routing).toMatchObject({ kind: 'match', match: { params: { id: '__proto__' } } })
})
