import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { openClientCheck } from '../../../src/io/http/client-check.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

const home = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'of this test' })
const read = (name: string) => fs.readFileSync(path.join(home.dir, 'cv_ca', name), 'utf8')
let server: Listening

beforeAll(async () => {
  await (await startVerifier(loadVerifierSettings(home.env), silentLogger)).stop() // makes the certificates
  const settings = loadVerifierSettings(home.env)
  const access = { directory: path.join(home.dir, 'cv_ca'), password: settings.ca.password, settings: settings.ca.settings, now: Date.now }
  await withAuthority(access, (authority) => authority.issue({ name: 'machine' }))
  const trusted = [{ file: path.join(home.dir, 'cv_ca', 'cacert.crt'), pem: read('cacert.crt') }]
  const clients = openClientCheck({
    trusted,
    revocationLists: ['default'],
    authorized: [{ kind: 'default' }],
    now: Date.now,
    logger: silentLogger,
  })
  const identity = {
    cert: read('server-cert.crt'),
    key: read('server-private.pem'),
    ca: [read('cacert.crt')],
    clients,
    requireCertificate: false,
  }
  server = await serve({ host: '127.0.0.1', port: 0, routes: [], versions: [], logger: silentLogger, tls: identity })
})
afterAll(async () => {
  await server.close(0)
  home.remove()
})

/** @returns whether a TLS connection from this address is taken, and an answer comes over it. */
const isServed = (localAddress: string, identity: tls.SecureContextOptions = {}) =>
  new Promise<boolean>((resolve) => {
    const target = { host: '127.0.0.1', port: server.port, localAddress, rejectUnauthorized: false, ...identity }
    const socket = tls.connect(target, () => socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'))
    socket.on('data', () => resolve(true))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(false))
  })

const connect = (localAddress: string) =>
  new Promise<void>((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port: server.port, localAddress }, () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
  })

test('a flood of connections from many addresses does not shut out who proved before that he may call; no other certificate gives a place', async () => {
  const operator = { cert: read('client-cert.crt'), key: read('client-private.pem') }
  expect(await isServed('127.0.0.1', operator)).toBe(true)
  const machine = { cert: read('machine-cert.crt'), key: read('machine-private.pem') }
  expect(await isServed('127.0.3.1', machine)).toBe(true)
  for (const who of [{ from: '127.0.2.1' }, { from: '127.0.3.1', identity: machine }]) {
    let served = true
    for (let round = 0; served && round < 20; round++) {
      await Promise.all(Array.from({ length: 400 }, (_, i) => connect(`127.0.1.${1 + (i % 200)}`)))
      served = await isServed(who.from, who.identity)
    }
    expect(served).toBe(false)
  }
  expect(await isServed('127.0.0.1', operator)).toBe(true)
})
