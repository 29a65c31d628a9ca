import net from 'node:net'
import tls from 'node:tls'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed({ KEYLIME_VERIFIER_VERIFY_RATE_LIMIT_PER_IP: '5' })
const closed = new VerifierBed({ KEYLIME_VERIFIER_ENABLE_VERIFY_EVIDENCE: 'False', KEYLIME_VERIFIER_ENABLE_VERIFY_IDENTITY: 'False' })
beforeAll(() => Promise.all([bed.start(), closed.start()]))
afterAll(() => Promise.all([bed.stop(), closed.stop()]))

/** A stranger's request over TLS: `{}` to `verify/evidence`, or a question to `verify/identity`. @returns the answer with its headers. */
async function ask(port: number, what: 'evidence' | 'identity'): Promise<string> {
  const body = what === 'evidence' ? '{}' : ''
  const head = [`${body ? 'POST' : 'GET'} /v2.6/verify/${what} HTTP/1.1`, 'host: x', 'connection: close', `content-length: ${body.length}`]
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  let text = ''
  let isOver = false
  socket.on('data', (chunk) => (text += chunk)).on('close', () => (isOver = true))
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  await until('the answer', () => isOver)
  return text
}

test('whoever asks more often than the configuration allows is told when to ask again; operators are not counted', async () => {
  for (let i = 0; i < 5; i++) expect(await ask(bed.verifier.port, i % 2 ? 'evidence' : 'identity')).toMatch(/^HTTP\/1.1 400 /)
  for (const what of ['evidence', 'identity'] as const) {
    const answer = await ask(bed.verifier.port, what)
    expect(answer).toMatch(/^HTTP\/1.1 429 /)
    expect(answer).toMatch(/\r\nRetry-After: \d+\r\n/)
    expect(answer).toContain('asked too often: try again in')
  }
  for (let i = 0; i < 7; i++) expect(await bed.admin.request('POST', '/v2.6/verify/evidence', { body: {} })).toMatchObject({ status: 400 })
  expect(await bed.admin.request('GET', '/version')).toMatchObject({ status: 200 })
})

test('what is switched off says so, to operators too', async () => {
  for (const what of ['evidence', 'identity'] as const) {
    const answer = await ask(closed.verifier.port, what)
    expect(answer).toMatch(/^HTTP\/1.1 403 /)
    expect(answer).toContain(`verify/${what} is switched off here (enable_verify_${what})`)
  }
  expect(await closed.admin.request('POST', '/v2.6/verify/evidence', { body: {} })).toMatchObject({ status: 403 })
})

test('a flood of new connections from one address is cut off before the handshake, and connections that are there go on', async () => {
  const kept = openApiClient({
    url: `https://127.0.0.1:${closed.verifier.port}`,
    name: 'verifier',
    timeoutSeconds: 10,
    tls: { ca: [closed.ca] },
  })
  expect(await kept.request('GET', '/version')).toMatchObject({ status: 200 })
  const sockets = Array.from({ length: 700 }, () => net.connect(closed.verifier.port, '127.0.0.1').on('error', () => undefined))
  await until('some to be cut off', () => sockets.filter((socket) => socket.closed).length > 100)
  expect(sockets.filter((socket) => socket.readyState === 'open').length).toBeGreaterThan(0)
  expect(await kept.request('GET', '/version')).toMatchObject({ status: 200 })
  for (const socket of sockets) socket.destroy()
  await kept.close()
})
