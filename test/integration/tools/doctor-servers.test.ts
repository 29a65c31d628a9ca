import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import BetterSqlite from 'better-sqlite3'
import { issueCertificate, makeAuthority } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import { nativeAddon } from '../../../src/io/native/native-addon.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { startRegistrar } from '../../../src/roles/registrar/start.ts'
import { keylime } from '../../command-line.ts'
import { freePorts, temporaryKeylimeDir, testLogger } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'
import { examined, told } from './doctor-bed.ts'

const DAY_MS = 86_400_000

const bed = new VerifierBed()
let registrar: Awaited<ReturnType<typeof startRegistrar>>
let dead: number
beforeAll(async () => {
  await bed.start()
  registrar = await startRegistrar(loadRegistrarSettings(bed.home.env), testLogger('registrar'))
  ;[dead] = (await freePorts(1)) as [number]
})
afterAll(async () => {
  await registrar.stop()
  await bed.stop()
})

/** A tenant beside the verifier, whose settings are given. */
const tenant = (settings: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  KEYLIME_DIR: bed.home.dir,
  KEYLIME_TENANT_VERIFIER_PORT: String(bed.verifier.port),
  KEYLIME_TENANT_REGISTRAR_PORT: String(registrar.tlsPort),
  PATH: process.env['PATH'],
  ...settings,
})

test('a tenant whose servers answer hears that they do, with their versions, and nothing bad of its certificate', async () => {
  const found = await examined('tenant', tenant())
  expect(told(found, 'peers')).toEqual([
    expect.stringMatching(/^ok: verifier at 127\.0\.0\.1:\d+ answers, with API 2\.0, .*2\.6$/),
    expect.stringMatching(/^ok: registrar at 127\.0\.0\.1:\d+ answers, with API 2\.0, .*2\.6$/),
  ])
  expect(told(found, 'certificates')).toEqual([expect.stringMatching(/^ok: .*client-cert\.crt: ".*" of ".*", until \d{4}-/)])
})

test('a verifier whose registrar shows the same certificate hears of each certificate and each database once', async () => {
  const found = await examined('verifier', bed.home.env)
  expect(told(found, 'certificates')).toEqual([
    expect.stringMatching(/^ok: .*server-cert\.crt: /),
    expect.stringMatching(/^ok: .*client-cert\.crt: /),
  ])
  expect(told(found, 'database')).toEqual([
    expect.stringMatching(/^ok: .*cv_data\.sqlite is whole$/),
    expect.stringMatching(/^ok: .*reg_data\.sqlite is whole$/),
  ])
})

test('a port where nobody listens, a name that nobody knows, and what does not speak TLS are told apart', async () => {
  const plain = net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await new Promise<void>((done) => plain.listen(0, '127.0.0.1', done))
  const at = (plain.address() as net.AddressInfo).port
  const ask = async (settings: Record<string, string>) => told(await examined('tenant', tenant(settings)), 'peers')[0]
  expect(await ask({ KEYLIME_TENANT_VERIFIER_PORT: String(dead) })).toMatch(/^error: verifier .*nobody listens there/)
  const [silent] = (await examined('tenant', tenant({ KEYLIME_TENANT_VERIFIER_PORT: String(dead) }))).filter(
    ({ level }) => level === 'error',
  )
  expect(silent).toMatchObject({ means: expect.stringContaining('verifier_ip'), fix: 'systemctl start keylime-verifier' })
  expect(await ask({ KEYLIME_TENANT_VERIFIER_IP: 'nobody.invalid' })).toBe(
    'error: no name server knows the name nobody.invalid of the verifier',
  )
  expect(await ask({ KEYLIME_TENANT_VERIFIER_PORT: String(at) })).toMatch(/^error: verifier .*(does not speak TLS|expects TLS)/)
  plain.close()
})

test('a server that takes the connection and says nothing is told by its name, beside one that answers', async () => {
  const mute = net.createServer()
  await new Promise<void>((done) => mute.listen(0, '127.0.0.1', done))
  const { port } = mute.address() as net.AddressInfo
  const found = await examined('tenant', tenant({ KEYLIME_TENANT_VERIFIER_PORT: String(port) }), { limitMs: 4000 })
  expect(told(found, 'peers')).toEqual([
    expect.stringMatching(/^error: verifier at 127\.0\.0\.1:\d+: there is no answer: /),
    expect.stringMatching(/^ok: registrar /),
  ])
  mute.close()
})

test('a clock that is two minutes ahead of the server’s is an error, one of the same second is none', async () => {
  const found = await examined('tenant', tenant(), { now: () => Date.now() + 120_000 })
  expect(told(found, 'peers')).toContainEqual(
    expect.stringMatching(/^error: the clock of this machine is 1[12]\d seconds ahead of that of verifier/),
  )
})

test('a tenant of another authority trusts the verifier no more than the verifier trusts it', async () => {
  const other = await authority('another CA')
  const directory = fs.mkdtempSync(path.join(bed.home.dir, 'other-'))
  const own = await other.issue('client', { notBefore: -DAY_MS, notAfter: DAY_MS })
  fs.writeFileSync(path.join(directory, 'client-cert.crt'), own.cert)
  fs.writeFileSync(path.join(directory, 'client-private.pem'), own.key, { mode: 0o600 })
  fs.writeFileSync(path.join(directory, 'other.crt'), other.pem)
  const foreign = { KEYLIME_TENANT_TLS_DIR: directory }
  const distrusting = await examined('tenant', tenant({ ...foreign, KEYLIME_TENANT_TRUSTED_SERVER_CA: "['other.crt']" }))
  expect(told(distrusting, 'peers')[0]).toMatch(/^error: verifier .* shows ".*" of ".*", and .*other\.crt does not vouch for it/)
  const distrusted = await examined('tenant', tenant(foreign))
  expect(told(distrusted, 'peers')).toContainEqual(expect.stringMatching(/^error: verifier .* does not accept this side’s certificate$/))
})

test('a server whose certificate has ended is told with the date, whoever vouches for it', async () => {
  const ca = await authority('old')
  const { cert, key } = await ca.issue('verifier', { notBefore: -10 * DAY_MS, notAfter: -2 * DAY_MS })
  const server = tls.createServer({ cert, key }, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')),
  )
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const port = String((server.address() as net.AddressInfo).port)
  const found = await examined('tenant', tenant({ KEYLIME_TENANT_VERIFIER_PORT: port }))
  const day = new Date(Date.now() - 2 * DAY_MS).toISOString().slice(0, 10)
  expect(told(found, 'peers')[0]).toMatch(new RegExp(`^error: .* shows "CN=verifier" of "CN=old", which ended on ${day}$`))
  server.close()
})

test('an agent that brings its evidence hears that the certificate of the verifier is for another name, unless it takes any', async () => {
  const ca = await authority('our CA')
  const file = path.join(bed.home.dir, 'our-ca.crt')
  fs.writeFileSync(file, ca.pem)
  const { cert, key } = await ca.issue('verifier', { notBefore: -DAY_MS, notAfter: 90 * DAY_MS }, 'elsewhere.example')
  const server = tls.createServer({ cert, key }, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')),
  )
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const agent = {
    KEYLIME_DIR: bed.home.dir,
    KEYLIME_AGENT_IP: '',
    KEYLIME_AGENT_REGISTRAR_PORT: String(registrar.port),
    KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: file,
  }
  const named = expect.stringMatching(/^error: the certificate of verifier .* is for DNS:elsewhere\.example, not for 127\.0\.0\.1$/)
  const found = told(await examined('agent', agent), 'peers')
  expect(found).toEqual([
    expect.stringMatching(/^ok: registrar at .* answers, with API /),
    named,
    expect.stringContaining('does not say its versions'),
    expect.anything(),
  ])
  expect(told(await examined('agent', { ...agent, KEYLIME_AGENT_TLS_ACCEPT_INVALID_HOSTNAMES: 'true' }), 'peers')).not.toContainEqual(named)
  expect(told(await examined('agent', { ...agent, KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: 'default' }), 'peers')).toContainEqual(
    expect.stringMatching(/^error: verifier .* does not vouch for it/),
  )
  server.close()
})

test('a port that another program has is told with its process, one from which this machine only calls as free, and an address that this machine has not', async () => {
  const stranger = net.createServer()
  await new Promise<void>((done) => stranger.listen(0, '0.0.0.0', done))
  const { port } = stranger.address() as net.AddressInfo
  const call = net.connect(port, '127.0.0.1')
  await once(call, 'connect')
  const settings = { KEYLIME_DIR: bed.home.dir, KEYLIME_REGISTRAR_PORT: String(port), KEYLIME_REGISTRAR_TLS_PORT: String(call.localPort) }
  const found = await examined('registrar', { ...settings, KEYLIME_REGISTRAR_IP: '192.0.2.7' })
  expect(told(found, 'ports')).toEqual(
    expect.arrayContaining([
      expect.stringMatching(new RegExp(`^error: port ${port} is taken by process ${process.pid} `)),
      expect.stringMatching(/^error: this machine does not have the address 192\.0\.2\.7/),
      `note: port ${call.localPort} is free`,
    ]),
  )
  call.destroy()
  stranger.close()
})

test('a service of ours that listens is known by its process, and this program leaves it alone', async () => {
  const code =
    "process.title = 'keylime registrar'; require('net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port) })"
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = line.toString().trim()
  const env = {
    KEYLIME_DIR: bed.home.dir,
    KEYLIME_REGISTRAR_PORT: port,
    KEYLIME_REGISTRAR_TLS_PORT: '0',
    KEYLIME_REGISTRAR_IP: '127.0.0.1',
  }
  expect(told(await examined('registrar', env), 'ports')).toEqual([
    `ok: process ${child.pid} (keylime registrar) listens on 127.0.0.1:${port}`,
  ])
  child.kill()
})

const isRoot = process.getuid?.() === 0
;(isRoot ? test : test.skip)('a directory of state with a megabyte left is an error', async () => {
  const { dir, env, remove } = temporaryKeylimeDir()
  nativeAddon().mountTmpfs(dir, 'size=1m')
  try {
    expect(told(await examined('registrar', env), 'disk')).toEqual([`error: ${dir} has 1 MiB free`])
  } finally {
    nativeAddon().unmount(dir)
    remove()
  }
})

test('a database that is whole is told so and left without a file beside it, a damaged copy with what SQLite finds', async () => {
  const { dir, env, remove } = temporaryKeylimeDir()
  const file = path.join(dir, 'reg_data.sqlite')
  const sqlite = new BetterSqlite(file)
  sqlite.pragma('journal_mode = WAL')
  sqlite.exec('CREATE TABLE t(x TEXT); CREATE INDEX i ON t(x)')
  for (let i = 0; i < 500; i++) sqlite.prepare('INSERT INTO t VALUES (?)').run(`row ${i} ${'x'.repeat(100)}`)
  sqlite.close()
  expect(told(await examined('registrar', env), 'database')).toEqual([`ok: ${file} is whole`])
  expect(fs.readdirSync(dir)).toEqual(['reg_data.sqlite'])
  const bytes = fs.readFileSync(file)
  fs.writeFileSync(file, bytes.fill(0xa5, 3 * 4096, 6 * 4096))
  expect(told(await examined('registrar', env), 'database')).toEqual([expect.stringContaining(`error: ${file} is damaged: `)])
  fs.writeFileSync(file, 'no database at all, whatever its name says')
  expect(told(await examined('registrar', env), 'database')).toEqual([expect.stringContaining('file is not a database')])
  remove()
})

test('a database server that takes connections and says nothing is told for both roles, and not as a check that hangs', async () => {
  const frozen = net.createServer(() => {}).listen(0, '127.0.0.1')
  await once(frozen, 'listening')
  const url = (name: string) => `postgresql://u@127.0.0.1:${(frozen.address() as net.AddressInfo).port}/${name}?connect_timeout=3`
  const urls = { KEYLIME_VERIFIER_DATABASE_URL: url('v'), KEYLIME_REGISTRAR_DATABASE_URL: url('r') }
  const found = await examined('verifier', { ...bed.home.env, ...urls }, { limitMs: 5500 })
  const late = 'did not answer in time'
  expect(told(found, 'database')).toEqual([expect.stringContaining(late), expect.stringContaining(late)])
  expect(told(found, 'configuration')).toEqual([
    expect.stringContaining(late),
    expect.stringMatching(/^error: registrar: .*did not answer in time/),
  ])
  frozen.close()
})

test('a certificate of a CA that was made anew, and one for another name, are told', async () => {
  const { dir, env, remove } = temporaryKeylimeDir({
    KEYLIME_REGISTRAR_TLS_DIR: 'own',
    KEYLIME_REGISTRAR_TRUSTED_CLIENT_CA: "['cacert.crt']",
  })
  const own = path.join(dir, 'own')
  fs.mkdirSync(own)
  const { cert, key } = await (await authority('the CA')).issue(
    'server',
    { notBefore: -DAY_MS, notAfter: 90 * DAY_MS },
    'elsewhere.example',
  )
  fs.writeFileSync(path.join(own, 'server-cert.crt'), cert)
  const keyFile = path.join(own, 'server-private.pem')
  fs.writeFileSync(keyFile, key, { mode: 0o600 })
  fs.writeFileSync(path.join(own, 'cacert.crt'), (await authority('the CA')).pem)
  const examine = () => examined('registrar', { ...env, KEYLIME_REGISTRAR_IP: '10.0.0.7' })
  expect(told(await examine(), 'certificates')).toEqual([
    expect.stringMatching(/^error: .*the CA "CN=the CA" of this host does not vouch for it/),
    expect.stringMatching(/^warning: .* is not for 10\.0\.0\.7, but for DNS:elsewhere\.example$/),
  ])
  fs.chmodSync(keyFile, 0o644)
  expect(told(await examine(), 'configuration')).toContainEqual(
    expect.stringMatching(/^error: server_key: .*server-private\.pem can be read by every user of this machine \(mode 644\).*chmod o= /),
  )
  remove()
})

test('an own certificate that has ended is an error of the configuration, and never said to be well', async () => {
  const { dir, env, remove } = temporaryKeylimeDir({
    KEYLIME_REGISTRAR_TLS_DIR: 'own',
    KEYLIME_REGISTRAR_TRUSTED_CLIENT_CA: "['cacert.crt']",
  })
  const own = path.join(dir, 'own')
  fs.mkdirSync(own)
  const ca = await authority('the CA')
  const { cert, key } = await ca.issue('server', { notBefore: -9 * DAY_MS, notAfter: -2 * DAY_MS })
  fs.writeFileSync(path.join(own, 'server-cert.crt'), cert)
  fs.writeFileSync(path.join(own, 'server-private.pem'), key, { mode: 0o600 })
  fs.writeFileSync(path.join(own, 'cacert.crt'), ca.pem)
  const found = await examined('registrar', { ...env, KEYLIME_REGISTRAR_IP: '0.0.0.0' })
  expect(told(found, 'configuration')).toContainEqual(expect.stringMatching(/^error: server_cert: .* ended on /))
  expect(told(found, 'certificates')).toEqual([])
  remove()
})

describe('the program', () => {
  const SECRETS = ['hunter2-of-the-key', 'webhook-token-81', 'proxy-password-82', 'misspelt-password-83']
  const { dir, remove } = temporaryKeylimeDir()
  const config = path.join(dir, 'verifier.conf')
  fs.writeFileSync(
    config,
    `[verifier]\nserver_key_password = ${SECRETS[0]}\nserver_key_pasword = ${SECRETS[3]}\n[revocations]\nwebhook_url = https://me:${SECRETS[2]}@hook.example/x\nwebhook_token = ${SECRETS[1]}\n`,
  )
  afterAll(remove)
  const doctor = (...args: string[]) =>
    keylime(['doctor', ...args], {
      env: {
        PATH: process.env['PATH'],
        KEYLIME_DIR: dir,
        KEYLIME_REGISTRAR_PORT: String(dead),
        KEYLIME_TENANT_VERIFIER_PORT: String(dead),
      },
    })

  test('its report has findings, versions and configuration, and none of the secrets that were planted', async () => {
    const file = path.join(dir, 'report.zip')
    const { stdout, stderr } = await doctor('verifier', '--config', config, '--json', '--report', file)
    expect(stderr).toContain('read it before you send it')
    const found = JSON.parse(stdout) as { role: string; findings: unknown[] }
    expect(found.role).toBe('verifier')
    expect(found.findings).toContainEqual({
      check: expect.any(String),
      level: 'ok',
      what: expect.any(String),
      means: expect.any(String),
      fix: null,
    })
    const bytes = fs.readFileSync(file).toString('latin1') // its entries are stored, not compressed
    for (const part of ['findings.txt', 'findings.json', 'versions.txt', 'configuration/verifier.conf', 'server_key_password = [secret]'])
      expect(bytes).toContain(part)
    for (const secret of SECRETS) expect(`${stdout}${stderr}${bytes}`).not.toContain(secret)
    expect(fs.statSync(file).mode & 0o777).toBe(0o600)
  })

  test('its exit code is 4 when only servers are missing, and 2 for a file that is not there', async () => {
    const { status, stdout } = await doctor('tenant')
    expect([status, stdout]).toEqual([
      4,
      expect.stringMatching(
        /ERROR {3}peers: verifier at .*\n +start it on this host, .*verifier_ip.*\n +\$ systemctl start keylime-verifier/,
      ),
    ])
    expect(await doctor('tenant', '--config', '/nowhere')).toMatchObject({ status: 2, stderr: expect.stringContaining('/nowhere') })
    expect(await doctor('tenant', '--timeout', '0')).toMatchObject({ status: 2, stderr: expect.stringContaining('from 1 to 600 seconds') })
  })
})

/** A CA, and what it issues. */
async function authority(name: string) {
  const keys = await makeKeyPair({ type: 'ecdsa' })
  const subject = (value: string) => [{ oid: '2.5.4.3', value }]
  const dates = { notBefore: Date.now() - 20 * DAY_MS, notAfter: Date.now() + 200 * DAY_MS }
  const certificate = await makeAuthority({ subject: subject(name), ...keys, serial: 1n, crlUrl: '', givesRoles: false, ...dates })
  return {
    pem: certificate.pem,
    async issue(commonName: string, { notBefore, notAfter }: { notBefore: number; notAfter: number }, host = 'localhost') {
      const pair = await makeKeyPair({ type: 'ecdsa' })
      const issued = await issueCertificate(
        { certificate, key: keys.privateKey },
        {
          subject: subject(commonName),
          publicKey: pair.publicKey,
          serial: 2n,
          alternativeNames: [{ type: 'dns', value: host }],
          crlUrl: '',
          notBefore: Date.now() + notBefore,
          notAfter: Date.now() + notAfter,
        },
      )
      return { cert: issued.pem, key: privateKeyPem(pair.privateKey) }
    },
  }
}
