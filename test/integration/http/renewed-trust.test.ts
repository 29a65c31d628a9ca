import fs from 'node:fs'
import path from 'node:path'
import tls from 'node:tls'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { type Authority, issueCertificate, makeAuthority } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { openClientCheck } from '../../../src/io/http/client-check.ts'
import { type Listening, type ServerTls, serve } from '../../../src/io/http/server.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir } from '../../servers.ts'
import { issueAuthorityBelow } from '../access/authority-below.ts'
import { recordingLogger } from '../ca/listener-bed.ts'

const home = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'of this test' })
const cvCa = (name: string) => path.join(home.dir, 'cv_ca', name)
const copy = (name: string) => path.join(home.dir, 'copy', name)
const read = (name: string) => fs.readFileSync(cvCa(name), 'utf8')
const log = recordingLogger()
const settings = loadVerifierSettings(home.env)
const access = { directory: path.join(home.dir, 'cv_ca'), password: settings.ca.password, settings: settings.ca.settings, now: Date.now }
let server: Listening

/** What a server reads at its start, and again on SIGHUP: it has a copy of the authority's certificate and list. */
function readTls(): ServerTls {
  const trusted = [{ file: copy('cacert.crt'), pem: fs.readFileSync(copy('cacert.crt'), 'utf8') }]
  const options = { trusted, revocationLists: ['default'], authorized: [{ kind: 'default' }], now: Date.now, logger: log.logger } as const
  const ca = trusted.map(({ pem }) => pem)
  return {
    cert: read('server-cert.crt'),
    key: read('server-private.pem'),
    ca,
    clients: openClientCheck(options),
    requireCertificate: false,
  }
}

async function issueOperator(name: string) {
  const { certificate, privateKeyPem } = await withAuthority(access, (authority) => authority.issue({ name, role: 'operator' }))
  return {
    identity: { cert: certificate.pem, key: privateKeyPem! },
    serial: certificate.serial,
    client: adminClient(home.dir, server.port, { cert: certificate.pem, key: privateKeyPem! }),
  }
}

beforeAll(async () => {
  giveNotifierKey(home.dir)
  await (await startVerifier(settings, log.logger)).stop() // makes the certificates
  fs.mkdirSync(copy(''))
  fs.copyFileSync(cvCa('cacert.crt'), copy('cacert.crt'))
  const route = { method: 'GET', path: '/v:version/x', access: 'admin', handle: async () => ({ results: {} }) } as const
  server = await serve({ host: '127.0.0.1', port: 0, routes: [route], versions: ['2.6'], logger: log.logger, tls: readTls() })
})
afterAll(async () => {
  await server.close(0)
  home.remove()
})

test('whoever was revoked stays so when trust is read again, although the list is gone; a newer list is taken from its file', async () => {
  const [ann, bob] = [await issueOperator('ann'), await issueOperator('bob')]
  const status = async ({ client }: typeof ann) => (await client.request('GET', '/v2.6/x')).status
  expect([await status(ann), await status(bob)]).toEqual([200, 200])
  await withAuthority(access, (authority) => authority.revoke(ann.serial))
  fs.copyFileSync(cvCa('cacrl.der'), copy('cacrl.der'))
  expect([await status(ann), await status(bob)]).toEqual([403, 200])
  fs.rmSync(copy('cacrl.der'))
  for (let times = 0; times < 2; times++) server.renewTls(readTls())
  expect([await status(ann), await status(bob)]).toEqual([403, 200])
  expect(log.lines.filter((line) => line.includes('is as new as the previous one; what that said still counts'))).toHaveLength(2)
  await withAuthority(access, (authority) => authority.revoke(bob.serial))
  fs.copyFileSync(cvCa('cacrl.der'), copy('cacrl.der'))
  expect([await status(ann), await status(bob)]).toEqual([403, 403])
  await Promise.all([ann.client.close(), bob.client.close()])
})

/** One request over a connection of its own. @param session resumed, where the server takes it. */
const over = (identity: { cert: string; key: string }, session?: Buffer) =>
  new Promise<{ status: number; isResumed: boolean; session: Buffer | undefined }>((resolve, reject) => {
    let [text, kept] = ['', session]
    const socket = tls.connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false, ...identity, session })
    const isResumed = new Promise<boolean>((done) => socket.once('secureConnect', () => done(socket.isSessionReused())))
    socket.on('session', (given) => {
      kept = given
    })
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.on('error', reject)
    socket.on('close', async () => resolve({ status: Number(text.split(' ')[1]), isResumed: await isResumed, session: kept }))
    socket.write('GET /v2.6/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  })

test('whoever resumes a session is judged as he is now, and not as he was when it was made', async () => {
  const fay = await issueOperator('fay')
  const first = await over(fay.identity)
  expect(first).toMatchObject({ status: 200, isResumed: false })
  const second = await over(fay.identity, first.session)
  expect(second).toMatchObject({ status: 200, isResumed: true })
  await withAuthority(access, (authority) => authority.revoke(fay.serial))
  fs.copyFileSync(cvCa('cacrl.der'), copy('cacrl.der'))
  expect(await over(fay.identity, second.session)).toMatchObject({ status: 403, isResumed: true })
  expect(await over(fay.identity)).toMatchObject({ status: 403, isResumed: false })
  await fay.client.close()
})

test('open connections are judged by the trust that was read last', async () => {
  const eve = await issueOperator('eve')
  expect((await eve.client.request('GET', '/v2.6/x')).status).toBe(200)
  const before = fs.readFileSync(copy('cacert.crt'))
  const other = temporaryKeylimeDir()
  await (await startVerifier(loadVerifierSettings(other.env), log.logger)).stop()
  fs.copyFileSync(path.join(other.dir, 'cv_ca', 'cacert.crt'), copy('cacert.crt'))
  fs.rmSync(copy('cacrl.der'), { force: true })
  server.renewTls(readTls())
  expect((await eve.client.request('GET', '/v2.6/x')).status).toBe(403)
  fs.writeFileSync(copy('cacert.crt'), before)
  server.renewTls(readTls())
  expect((await eve.client.request('GET', '/v2.6/x')).status).toBe(200)
  await eve.client.close()
  other.remove()
})

test('a client of an authority in between, which only the handshake has judged, makes another when the authorities are others', async () => {
  const day = { notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 86_400_000 }
  const make = async (name: string) => ({ pair: await makeKeyPair({ type: 'ecdsa' }), subject: [{ oid: '2.5.4.3', value: name }] })
  const makeRoot = async (name: string): Promise<Authority> => {
    const { pair, subject } = await make(name)
    const certificate = await makeAuthority({ subject, ...pair, ...day, serial: 1n, crlUrl: '', givesRoles: false })
    return { certificate, key: pair.privateKey }
  }
  const [before, after] = [await makeRoot('Before'), await makeRoot('After')]
  const below = issueAuthorityBelow(before, 'Below')
  const { pair, subject } = await make('person')
  const named = { ...day, subject, publicKey: pair.publicKey, serial: 9n, alternativeNames: [], crlUrl: '' }
  const cert = (await issueCertificate(below, named)).pem + below.certificate.pem
  const ours = fs.readFileSync(copy('cacert.crt'))
  fs.rmSync(copy('cacrl.der'), { force: true })
  const trust = (pem: string | Buffer) => {
    fs.writeFileSync(copy('cacert.crt'), pem)
    server.renewTls(readTls())
  }
  trust(before.certificate.pem)
  const client = adminClient(home.dir, server.port, { cert, key: privateKeyPem(pair.privateKey) })
  const status = () => client.request('GET', '/v2.6/x').then(({ status }) => status)
  expect(await status()).toBe(200)
  trust(before.certificate.pem)
  expect(await status()).toBe(200)
  trust(after.certificate.pem)
  expect(await status().catch(status)).toBe(403) // asked again where the connection ended below the request
  await client.close()
  trust(ours)
})
