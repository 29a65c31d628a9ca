import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { type Authority, hostName, issueCertificate } from '../../../src/core/pki/issue.ts'
import { privateKeyPem } from '../../../src/core/pki/keys.ts'
import { openWebhook } from '../../../src/io/http/webhook.ts'
import { commonName, DAY, ecPair, root } from '../../unit/core/pki/fixtures.ts'

const time = { notBefore: Date.now() - 2 * DAY, notAfter: Date.now() + DAY }
const [ours, foreign] = await Promise.all([root('Ours', time), root('Foreign', time)])
async function identity(authority: Authority, { host = '127.0.0.1', notAfter = time.notAfter } = {}) {
  const { privateKey, publicKey } = ecPair()
  const alternativeNames = [hostName(host)]
  const request = { subject: commonName(host), publicKey, serial: 7n, ...time, notAfter, alternativeNames, crlUrl: '' }
  return { key: privateKeyPem(privateKey), cert: (await issueCertificate(authority, request)).pem }
}
const client = await identity(ours)

const bodies: string[] = []
const servers: https.Server[] = []
/** A receiver with this certificate that asks for client certificates of `clients`. @returns its URL. */
async function receiver(own: { key: string; cert: string }, { clients = ours, status = 200 } = {}): Promise<string> {
  const tls = { ...own, ca: clients.certificate.pem, requestCert: true, rejectUnauthorized: true }
  const server = https.createServer(tls, async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    bodies.push(`${request.url} ${text}`)
    if (status > 0) response.writeHead(status).end()
  })
  servers.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook?x=1`
}
const post = async (url: string) => {
  const hook = openWebhook({ url, ...client, ca: [ours.certificate.pem], timeoutSeconds: 1 })
  await hook.post({ msg: 'text' }).finally(() => hook.close())
}

afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

test.each([200, 201, 202, 204])('a receiver of our authority that knows us and answers %i has taken it', async (status) => {
  await post(await receiver(await identity(ours), { status }))
  expect(bodies.at(-1)).toBe('/hook?x=1 {"msg":"text"}')
})

test.each([
  ['with a certificate of another authority', () => identity(foreign), ours],
  ['with a certificate for another host', () => identity(ours, { host: 'elsewhere.test' }), ours],
  ['with a certificate whose time is over', () => identity(ours, { notAfter: Date.now() - DAY }), ours],
  ['that does not know our authority', () => identity(ours), foreign],
])('a receiver %s gets nothing', async (_, own, clients) => {
  const before = bodies.length
  const url = await receiver(await own(), { clients })
  await expect(post(url)).rejects.toMatchObject({ message: expect.stringContaining(`webhook ${new URL(url).origin}`) })
  expect(bodies).toHaveLength(before)
})

test('an answer that is none, and none at all, have not taken it', async () => {
  await expect(post(await receiver(await identity(ours), { status: 500 }))).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('answered 500'),
  })
  await expect(post(await receiver(await identity(ours), { status: 0 }))).rejects.toMatchObject({ code: 'timeout' })
})

test.each(['', 'nonsense', 'ftp://127.0.0.1/x', 'file:///etc/passwd'])('"%s" is refused when the verifier starts', (url) => {
  expect(() => openWebhook({ url, cert: '', key: '', ca: [], timeoutSeconds: 1 })).toThrow(
    expect.objectContaining({ code: 'config_invalid', hint: expect.stringContaining('https://') }),
  )
})

test('a receiver that hangs has few connections, however many notices wait for it; the others get there when it answers again', async () => {
  let hangs = true
  let [open, most] = [0, 0]
  const hanging = http.createServer((_, response) => {
    if (!hangs) response.end()
  })
  hanging.on('connection', (socket) => {
    most = Math.max(most, ++open)
    socket.on('close', () => open--)
  })
  await new Promise<void>((done) => hanging.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/`
  const hook = openWebhook({ url, ...client, ca: [], timeoutSeconds: 0.5 })
  const posts = Array.from({ length: 200 }, () => hook.post({ msg: 'text' }))
  await expect(posts[0]).rejects.toMatchObject({ code: 'timeout' })
  hangs = false
  const results = await Promise.allSettled(posts)
  expect(most).toBeLessThanOrEqual(64) // each is closed when its time is over, and another one made
  expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(100)
  await hook.close()
  hanging.closeAllConnections()
  hanging.close()
})

test('a request that hangs ends with the webhook, also one from before it got other certificates', async () => {
  const hanging = http.createServer(() => {})
  await new Promise<void>((done) => hanging.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/`
  const hook = openWebhook({ url, ...client, ca: [], timeoutSeconds: 60 })
  const ended: string[] = []
  const posts = ['before', 'after'].map((when, i) => {
    if (i === 1) hook.renew({ ...client, ca: [] })
    return hook.post({ msg: 'text' }).catch(() => ended.push(when))
  })
  await hook.close()
  await Promise.all(posts)
  expect(ended.toSorted()).toEqual(['after', 'before'])
  hanging.closeAllConnections()
  hanging.close()
})

describe('through a proxy', () => {
  const seen: string[] = []
  const proxy = http
    .createServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.authorization}`)
      response.writeHead(204).end()
    })
    .on('connect', (request, socket) => {
      seen.push(`CONNECT ${request.url}`)
      const [host, port] = request.url!.split(':') as [string, string]
      const through = net.connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        through.pipe(socket).pipe(through)
      })
    })
  beforeAll(() => new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done)))
  afterAll(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  async function posted(url: string): Promise<void> {
    const where = { url, token: 't0ken', proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }
    const hook = openWebhook({ ...where, ...client, ca: [ours.certificate.pem], timeoutSeconds: 10 })
    await hook.post({ msg: 'text' }).finally(() => hook.close())
  }

  test('a plain receiver gets it, with the token', async () => {
    await posted('http://hook.example/x')
    expect(seen.at(-1)).toBe('POST http://hook.example/x Bearer t0ken')
  })

  test('one with TLS gets it end to end, and shows its own certificate', async () => {
    const url = await receiver(await identity(ours))
    await posted(url)
    expect(seen.at(-1)).toBe(`CONNECT ${new URL(url).host}`)
    expect(bodies.at(-1)).toBe('/hook?x=1 {"msg":"text"}')
    await expect(posted(await receiver(await identity(foreign)))).rejects.toMatchObject({ code: 'tls_failed' })
  })
})
