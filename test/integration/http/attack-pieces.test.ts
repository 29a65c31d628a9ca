import net from 'node:net'
import { API_VERSIONS } from '../../../src/core/api/versions.ts'
import type { ApiReply } from '../../../src/io/http/route.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { testLogger } from '../../servers.ts'

let server: Listening
let answered = 0
const handle = (): ApiReply => {
  answered++
  return {}
}

beforeAll(async () => {
  const routes = [
    { method: 'POST', path: '/body', access: 'public', plainHttp: true, body: { maxBytes: 16 << 20, as: 'bytes' }, handle },
    { method: 'GET', path: '/', access: 'public', plainHttp: true, handle },
  ] as const
  server = await serve({ host: '127.0.0.1', port: 0, routes, versions: API_VERSIONS, logger: testLogger('http') })
})
afterAll(() => server.close())

/** What comes back until the other side closes, or for a second. */
function send(text: string): Promise<string> {
  return new Promise((done) => {
    let answer = ''
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(text))
    socket.on('data', (data) => (answer += data))
    socket.on('error', () => {})
    socket.on('close', () => done(answer))
    setTimeout(() => socket.destroy(), 1000)
  })
}

const post = 'POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'

test('who sends byte by byte is cut off: each piece takes more memory than its bytes', async () => {
  expect(await send(`${post}${'1\r\nx\r\n'.repeat(20_000)}`)).toMatch(/^HTTP\/1.1 400 .*too many small pieces/s)
})
test('some small pieces, and many of the usual size, are taken', async () => {
  expect(await send(`${post}${'1\r\nx\r\n'.repeat(1000)}0\r\n\r\n`)).toMatch(/^HTTP\/1.1 200 /)
  const piece = `400\r\n${'x'.repeat(1024)}\r\n`
  expect(await send(`${post}${piece.repeat(1500)}0\r\n\r\n`)).toMatch(/^HTTP\/1.1 200 /)
})
test('some requests behind each other are answered; a whole read full of them is not', async () => {
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
  expect((await send(get.repeat(4))).match(/HTTP\/1.1 200/g)).toHaveLength(4)
  answered = 0
  await send(get.repeat(2000))
  expect(answered).toBeLessThan(20)
})
