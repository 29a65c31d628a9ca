import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { freePorts } from '../servers.ts'
import { startSwtpm } from '../swtpm.ts'
import { KEYLIME } from './deployment.ts'

/** What is wrong before a role starts: each is told with what to do, and the process ends by itself and has changed nothing. */

const asRoot = process.getuid?.() === 0
const testAsRoot = asRoot ? test : test.skip
const base = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-bad-'))
const good = path.join(base, 'good')
const ports: Record<string, string> = {}
afterAll(() => fs.rmSync(base, { recursive: true, force: true }))

type Environment = Record<string, string>
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  verifier: ['verifier'],
  registrar: ['registrar'],
  agent: ['agent'],
  ca: ['ca', 'listen'],
  tenant: ['tenant', 'list'],
}
const ROLES = Object.keys(COMMANDS)
const PORTS = ['VERIFIER_PORT', 'REGISTRAR_PORT', 'REGISTRAR_TLS_PORT', 'CA_LISTEN_PORT', 'AGENT_PORT', 'AGENT_CONTACT_PORT']

const environment = (dir: string, more: Environment = {}): Environment => ({
  PATH: process.env['PATH']!,
  KEYLIME_DIR: dir,
  KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa',
  KEYLIME_CA_PASSWORD: 'of the test',
  KEYLIME_CA_LISTEN_IP: '127.0.0.1',
  KEYLIME_AGENT_RUN_AS: '',
  ...ports,
  ...more,
})

/** A process that is killed where it does not end: then its status is null. */
async function run(args: readonly string[], env: Environment, program = KEYLIME): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(program, args, { env, cwd: base, stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' })
  let stderr = ''
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const [code] = await once(child, 'close')
  return { code: code as number | null, stderr }
}

/** All that is in a directory. */
const filesOf = (dir: string) =>
  fs
    .readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => [name, fs.lstatSync(path.join(dir, name)).isFile() ? fs.readFileSync(path.join(dir, name), 'base64') : 'directory'])

/** The same, but logs, and the index that an authority begins when it is opened first. */
const stateOf = (dir: string) => filesOf(dir).filter(([name]) => !/-(wal|shm)$|\.lock$|^secure|audit\.log|^ca\/issued/.test(name!))

function copyOfGood(): string {
  const dir = fs.mkdtempSync(path.join(base, 'copy-'))
  fs.cpSync(good, dir, { recursive: true })
  return dir
}

/** Starts a role on a copy of a good state. @returns what it says, when it says what to do, ends, and leaves the state alone. */
async function refusal(role: string, more: Environment, spoil: (dir: string) => void = () => {}) {
  const dir = copyOfGood()
  spoil(dir)
  const before = stateOf(dir)
  const { code, stderr } = await run(COMMANDS[role]!, environment(dir, more))
  expect(stderr).toMatch(/^error: /m)
  expect(stderr).toMatch(/^hint: /m)
  expect(stderr).not.toMatch(/^\s+at /m)
  expect(stateOf(dir)).toEqual(before)
  return { code, stderr }
}

beforeAll(async () => {
  const free = await freePorts(PORTS.length)
  PORTS.forEach((name, i) => {
    ports[`KEYLIME_${name}`] = String(free[i])
  })
  fs.mkdirSync(good)
  const child = spawn(KEYLIME, ['verifier'], { env: environment(good), stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      log += chunk
      if (log.includes('registrar serves')) resolve()
    })
    child.once('exit', () => reject(new Error(log)))
  })
  child.removeAllListeners('exit').kill()
  await once(child, 'exit')
  expect(await run(['ca', 'init'], environment(good))).toMatchObject({ code: 0 })
})

describe('a configuration', () => {
  const WRONG: Readonly<Record<string, string>> = {
    verifier: 'quote_interval = soon',
    registrar: 'malformed_cert_action = maybe',
    agent: 'exponential_backoff_max_retries = "x"',
    ca: 'cert_crl_dist = 1\ncert_bits = many',
    tenant: 'max_retries = many',
  }
  const file = path.join(base, 'bad.conf')
  const named = (role: string): Environment => ({ [`KEYLIME_${role.toUpperCase()}_CONFIG`]: file })

  test.each(ROLES)('of the %s with a wrong type is refused with file and line; an unknown option is told by the check', async (role) => {
    fs.writeFileSync(file, `[${role}]\nnonsense = 1\n${WRONG[role]}\n`)
    const { code, stderr } = await refusal(role, named(role))
    expect([code, stderr]).toEqual([2, expect.stringMatching(new RegExp(`${file}:[34]: \\w+ = .*must be`))])
    const check = await run([role, '--check-config'], environment(good, named(role)))
    expect(check.stderr).toContain(`${file}:2: "nonsense" is not an option of the ${role}: it is ignored`)
  })
  test.each(ROLES)('of the %s that is no such file is refused with its line', async (role) => {
    fs.writeFileSync(file, `nonsense\n[${role}]\n`)
    const { code, stderr } = await refusal(role, named(role))
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${file}:1: `)])
  })
  testAsRoot.each(ROLES)('of the %s that its user may not read is refused', async (role) => {
    fs.writeFileSync(file, `[${role}]\n`)
    fs.chmodSync(file, 0o600)
    fs.chmodSync(base, 0o755)
    const dir = copyOfGood()
    execFileSync('chown', ['-R', '65534:65534', dir])
    const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups', KEYLIME]
    const { code, stderr } = await run([...user, ...COMMANDS[role]!], environment(dir, named(role)), 'setpriv')
    expect([code, stderr]).toEqual([2, expect.stringMatching(/bad\.conf: cannot be read[\s\S]*^hint: /m)])
  })
})

describe('a certificate that is not there', () => {
  const own = (dir: string) => fs.mkdirSync(path.join(dir, 'own'))
  const without = (name: string) => (dir: string) => fs.rmSync(path.join(dir, name))
  test.each<[string, Environment, (dir: string) => void, number, RegExp]>([
    ['verifier', { KEYLIME_VERIFIER_TLS_DIR: 'own' }, own, 2, /server_cert: cannot read .*own\/server-cert\.crt/],
    ['registrar', { KEYLIME_REGISTRAR_TLS_DIR: 'own' }, own, 2, /server_cert: cannot read .*own\/server-cert\.crt/],
    ['tenant', {}, without('cv_ca/client-cert.crt'), 2, /client_cert: cannot read .*client-cert\.crt/],
    ['agent', { KEYLIME_AGENT_TRUSTED_CLIENT_CA: '/nowhere/cacert.crt' }, () => {}, 2, /trusted_client_ca: .*\/nowhere\/cacert\.crt/],
    ['ca', {}, without('ca/cacert.crt'), 2, /has the key of an authority \(private\.yml\), but no cacert\.crt/],
  ])('of the %s is told with its option', async (role, more, spoil, status, reason) => {
    const { code, stderr } = await refusal(role, more, spoil)
    expect([code, stderr]).toEqual([status, expect.stringMatching(reason)])
  })
})

describe('a port that is in use', () => {
  const other = net.createServer()
  let port: string
  beforeAll(async () => {
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
    port = String((other.address() as net.AddressInfo).port)
  })
  afterAll(() => void other.close())

  test.each([
    ['verifier', 'VERIFIER_PORT'],
    ['verifier', 'VERIFIER_METRICS_PORT'],
    ['verifier', 'REGISTRAR_PORT'],
    ['verifier', 'REGISTRAR_TLS_PORT'],
    ['registrar', 'REGISTRAR_PORT'],
    ['registrar', 'REGISTRAR_TLS_PORT'],
    ['registrar', 'REGISTRAR_METRICS_PORT'],
    ['ca', 'CA_LISTEN_PORT'],
    ['ca', 'CA_LISTEN_TLS_PORT'],
  ])('keeps the %s from starting, and its process ends: %s', async (role, name) => {
    const address: Environment = name.includes('METRICS') ? { [`KEYLIME_${name.replace('PORT', 'IP')}`]: '127.0.0.1' } : {}
    const { code, stderr } = await refusal(role, { [`KEYLIME_${name}`]: port, ...address })
    expect([code, stderr]).toEqual([1, expect.stringContaining(`127.0.0.1:${port} is already in use`)])
  })
  testAsRoot('keeps the agent from starting', async () => {
    const tpm = await startSwtpm()
    const registrar = spawn(KEYLIME, ['registrar'], { env: environment(copyOfGood()), stdio: 'ignore' })
    const dir = copyOfGood()
    const env = environment(dir, {
      TCTI: tpm.tcti,
      KEYLIME_AGENT_IP: '127.0.0.1',
      KEYLIME_AGENT_PORT: port,
      KEYLIME_AGENT_REGISTRAR_PORT: ports['KEYLIME_REGISTRAR_PORT']!,
    })
    try {
      const { code, stderr } = await run(['--mount', KEYLIME, 'agent'], env, 'unshare')
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${port} is already in use[\\s\\S]*^hint: `, 'm')),
      ])
    } finally {
      registrar.kill()
      await once(registrar, 'exit')
      await tpm.stop()
    }
  })
})

test.each([
  ['verifier', 'cv_data.sqlite', ''],
  ['registrar', 'reg_data.sqlite', ''],
  ['verifier', 'reg_data.sqlite', 'registrar: '],
])('a database of a newer version is refused by the %s, and told by --check-config and `config check`: %s', async (role, name, of) => {
  const spoil = (dir: string) => {
    const database = new BetterSqlite(path.join(dir, name))
    database.prepare('update keylime_schema set version = 999').run()
    database.close()
  }
  const reason = /the \w+ database has version 999, this program knows \d+/.source
  const hint = 'it was used by a newer keylime: install that one again, or restore a backup'
  expect(await refusal(role, {}, spoil)).toEqual({ code: 1, stderr: expect.stringMatching(new RegExp(`${reason}\nhint: ${hint}`)) })
  const dir = copyOfGood()
  spoil(dir)
  const before = filesOf(dir)
  const told = { code: 2, stderr: expect.stringMatching(new RegExp(`^  ${of}${reason} \\(${hint}\\)[\\s\\S]*^hint: `, 'm')) }
  for (const args of [
    [role, '--check-config'],
    ['config', 'check', role],
  ])
    expect(await run(args, environment(dir))).toEqual(told)
  expect((await run(['config', 'check'], environment(dir))).code).toBe(2)
  expect(filesOf(dir)).toEqual(before)
})

testAsRoot.each(ROLES.filter((role) => role !== 'tenant'))('a full disk at the start of the %s is told', async (role) => {
  const dir = fs.mkdtempSync(path.join(base, 'full-'))
  const tpm = role === 'agent' ? await startSwtpm() : null
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir])
  try {
    if (role === 'ca') fs.cpSync(path.join(good, 'ca'), path.join(dir, 'ca'), { recursive: true })
    if (role === 'registrar' || role === 'agent') fs.cpSync(path.join(good, 'cv_ca'), path.join(dir, 'cv_ca'), { recursive: true })
    const filler = fs.openSync(path.join(dir, 'filler'), 'w')
    try {
      for (;;) fs.writeSync(filler, Buffer.alloc(4096))
    } catch {
      fs.closeSync(filler)
    }
    const { code, stderr } = await run(COMMANDS[role]!, environment(dir, tpm ? { TCTI: tpm.tcti } : {}))
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: [\s\S]*(ENOSPC|full|space)[\s\S]*^hint: /m)])
  } finally {
    await tpm?.stop()
    execFileSync('umount', ['--recursive', '--lazy', dir])
  }
})
