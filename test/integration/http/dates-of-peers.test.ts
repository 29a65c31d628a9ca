import { issueCertificate, makeAuthority } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { anyClient } from '../../servers.ts'
import { recordingLogger } from '../ca/listener-bed.ts'

const DAY_MS = 86_400_000
const route: Route = { method: 'GET', path: '/v:version/agents', access: 'admin', handle: () => ({ results: {} }) }
const GOOD = { notBefore: -DAY_MS, notAfter: DAY_MS }
const ENDED = { notBefore: -10 * DAY_MS, notAfter: -2 * DAY_MS }
const EARLIER = { notBefore: -3 * DAY_MS, notAfter: DAY_MS }
const OLD_CA = { authority: { notBefore: -20 * DAY_MS, notAfter: ENDED.notAfter }, server: EARLIER, client: EARLIER }
const EARLY = { notBefore: DAY_MS, notAfter: 9 * DAY_MS }
let server: Listening
let log: ReturnType<typeof recordingLogger>
afterEach(() => server.close(0))

/** A server and a client of one authority, each with its dates, relative to now. @returns the client's failure. */
async function ask(dates: { server?: typeof GOOD; client?: typeof GOOD; authority?: typeof GOOD }, requireCertificate: boolean) {
  const now = Date.now()
  const around = ({ notBefore, notAfter }: typeof GOOD) => ({ notBefore: now + notBefore, notAfter: now + notAfter })
  const keys = await makeKeyPair({ type: 'ecdsa' })
  const subject = (value: string) => [{ oid: '2.5.4.3', value }]
  const certificate = await makeAuthority({
    subject: subject('our CA'),
    ...keys,
    serial: 1n,
    crlUrl: '',
    givesRoles: false,
    ...around(dates.authority ?? { notBefore: -20 * DAY_MS, notAfter: 20 * DAY_MS }),
  })
  const issue = async (name: string, validity: typeof GOOD, serial: bigint) => {
    const pair = await makeKeyPair({ type: 'ecdsa' })
    const request = { subject: subject(name), publicKey: pair.publicKey, serial, alternativeNames: [], crlUrl: '', ...around(validity) }
    return { cert: (await issueCertificate({ certificate, key: keys.privateKey }, request)).pem, key: privateKeyPem(pair.privateKey) }
  }
  log = recordingLogger()
  const trust = { ca: [certificate.pem], clients: anyClient, requireCertificate }
  const tls = { ...(await issue('server', dates.server ?? GOOD, 2n)), ...trust }
  server = await serve({ host: '127.0.0.1', port: 0, routes: [route], versions: ['2.6'], logger: log.logger, tls })
  const own = { ...(await issue('client', dates.client ?? GOOD, 3n)), ca: [certificate.pem] }
  const client = openApiClient({ url: `https://127.0.0.1:${server.port}`, name: 'verifier', tls: own, timeoutSeconds: 5 })
  try {
    const { status, message } = await client.request('GET', '/v2.6/agents')
    return `${status} ${message}`
  } catch (error) {
    return (error as Error).message
  } finally {
    await client.close()
  }
}

const day = (ms: number) => new Date(Date.now() + ms).toISOString().slice(0, 10)

test.each([
  ['the server’s has ended', { server: ENDED }, () => `its certificate "CN=server" ended on ${day(ENDED.notAfter)}`],
  ['the server’s is not valid yet', { server: EARLY }, () => `its certificate "CN=server" is not valid before ${day(EARLY.notBefore)}`],
  ['the trusted CA has ended', OLD_CA, () => `the trusted CA "CN=our CA" ended on ${day(ENDED.notAfter)}`],
])('the client names certificate and date when %s', async (_, dates, words) => {
  expect(await ask(dates, false)).toContain(words())
})

test.each([
  ['has ended', ENDED, /ended on/],
  ['is not valid yet', EARLY, /is not valid before .*is the clock right\?/],
])('a client whose own certificate %s is told so by itself and by the server, whichever kind of server', async (_, client, words) => {
  expect(await ask({ client }, true)).toMatch(new RegExp(`client certificate "CN=client" of this side, which ${words.source}`))
  expect(log.lines).toContainEqual(
    expect.stringMatching(/a TLS handshake failed: its certificate, or its CA, (has ended|is not valid yet); is the clock right\?/),
  )
  await server.close(0)
  expect(await ask({ client }, false)).toMatch(new RegExp(`^403 .*its certificate ${words.source}`))
})
