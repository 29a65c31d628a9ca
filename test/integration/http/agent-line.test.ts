import net, { type AddressInfo, type Socket } from 'node:net'
import { type AgentClient, createAgentClient } from '../../../src/io/http/agent-client.ts'
import type { AgentConnection } from '../../../src/io/http/agent-connection.ts'
import { until } from '../../servers.ts'

/** What the agent does with the requests of its connections, by number of the connection and of the request in it. */
let react: (socket: Socket, connection: number, request: number, text: string) => void
let requests: string[] = []
let connections = 0
const server = net.createServer((socket) => {
  const connection = ++connections
  let count = 0
  socket.on('error', () => undefined)
  socket.on('data', (data) => {
    requests.push(data.toString())
    react(socket, connection, ++count, data.toString())
  })
})
let client: AgentClient
let line: AgentConnection
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const get = (path = '/x') => line.request({ method: 'GET', path, maxBytes: 100 })
const text = async (path?: string) => (await get(path)).body.toString()

beforeAll(() => new Promise<void>((done) => server.listen(0, '127.0.0.1', done)))
beforeEach(() => {
  ;[requests, connections] = [[], 0]
  client = createAgentClient({ context: undefined, timeoutSeconds: 1, largestAnswer: 1000, maxConnections: 10 })
  line = client.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, pin: null })
})
afterEach(async () => {
  line.close()
  client.close()
  await until('all are closed', () => client.figures.open === 0)
})
afterAll(() => void server.close())

test('requests of one machine go over one connection, one after the other', async () => {
  react = (socket, _connection, request) => setTimeout(() => socket.write(OK), request === 1 ? 50 : 0)
  const answers = await Promise.all([
    text('/a'),
    text('/b'),
    line.request({ method: 'POST', path: '/c', body: { word: 'ä' }, maxBytes: 100 }),
  ])
  expect(answers[2].status).toBe(200)
  expect(connections).toBe(1)
  expect(requests.map((request) => request.split(' ')[1])).toEqual(['/a', '/b', '/c'])
  expect(requests[2]).toMatch(/content-length: 13\r\n\r\n\{"word":"ä"\}$/)
  expect(requests[0]).toMatch(/^GET \/a HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nconnection: keep-alive\r\n/)
})

test('a connection that was closed while it was idle is told apart from one that breaks', async () => {
  react = (socket, connection, request) => (connection === 1 && request === 2 ? socket.destroy() : socket.write(OK))
  await text()
  await expect(get()).rejects.toMatchObject({ code: 'unreachable', details: { stale: true } })
  expect(await text()).toBe('ok')
  react = (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok')
  await expect(get()).rejects.toMatchObject({ code: 'unreachable', details: undefined }) // bytes had come
})

test('a new connection that breaks is not told as one that was idle', async () => {
  react = (socket) => socket.destroy()
  await expect(get()).rejects.toMatchObject({ code: 'unreachable', details: undefined })
})

test('bytes that nobody asked for end a connection, and the next request gets another', async () => {
  react = (socket) => socket.write(OK + (connections === 1 ? 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil' : ''))
  await expect(get()).rejects.toMatchObject({ message: expect.stringContaining('does not speak HTTP') })
  expect([await text(), connections]).toEqual(['ok', 2])
  const late = await new Promise<string>((done) => {
    react = (socket, _connection, request) => {
      socket.write(OK)
      if (request === 2) setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil'), 20)
    }
    void text().then(done)
  })
  expect(late).toBe('ok')
  await until('the connection is closed', () => client.figures.open === 0)
  expect([await text(), connections]).toEqual(['ok', 3]) // and not what was sent before it was asked
})

test.each([
  ['until the end', 'HTTP/1.1 200 OK\r\n\r\nall of it', true],
  ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\n\r\n', false],
  ['with an announced end', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nall of it', false],
])('an answer %s is read', async (_what, answer, ends) => {
  react = (socket) => (ends ? socket.end(answer) : socket.write(answer))
  expect([await text(), await text()]).toEqual(['all of it', 'all of it'])
  expect(connections).toBe(answer.includes('chunked') ? 1 : 2)
})

test('a connection is not used when its end is near, as the other side says', async () => {
  react = (socket) => socket.write(OK.replace('content', 'keep-alive: timeout=1\r\ncontent'))
  await text()
  await text()
  expect(connections).toBe(2)
})

test('a request that is given up takes its connection with it, and those that wait get another', async () => {
  react = (socket, connection) => connection > 1 && socket.write(OK)
  const [first, second] = await Promise.allSettled([get('/hangs'), text('/waits')])
  expect([first, second]).toMatchObject([{ reason: { code: 'timeout' } }, { reason: { code: 'timeout' } }]) // both since they were asked
  expect([await text(), connections]).toEqual(['ok', 2])
})

test('a path that would be more than a line is not sent', async () => {
  react = (socket) => socket.write(OK)
  await expect(get('/a HTTP/1.1\r\nx: y')).rejects.toMatchObject({ code: 'invalid_request' })
  expect(requests).toEqual([])
})

test('what is under way when a connection is closed for good ends', async () => {
  react = () => undefined
  const [first, second] = [get(), get()]
  await until('it was asked', () => requests.length > 0)
  line.close()
  for (const asked of [first, second]) await expect(asked).rejects.toMatchObject({ code: 'unavailable' })
})

test('a connection that is being made when it is closed for good does not stay', async () => {
  react = (socket) => socket.write(OK)
  const asked = get()
  line.close() // before the system has said that it is there
  await expect(asked).rejects.toMatchObject({ code: 'unavailable' })
  await until('it was made', () => client.figures.opened === 1)
  await until('it is closed again', () => client.figures.open === 0)
  expect(requests).toEqual([])
})
