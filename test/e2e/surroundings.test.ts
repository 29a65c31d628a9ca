import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { adminClient, freePorts, until } from '../servers.ts'
import { command, KEYLIME } from './deployment.ts'

/** What stands around the executable changes nothing: variables of Node's, files in the current directory, directories that are closed or full of traps. */

const asRoot = process.getuid?.() === 0 ? test : test.skip
let dir: string
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-around-'))
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

/** Commands of every kind: without yargs, with it, with TLS and a worker's addon, with a log. */
const COMMANDS = [['--version'], ['version', '--no-json'], ['tenant', '--help'], ['tenant', 'cvlist'], ['registrar']]
const outcome = async (env: Record<string, string>, cwd = dir) => {
  const results = []
  for (const args of COMMANDS) results.push(await command(KEYLIME, args, { KEYLIME_DIR: '/nonexistent/keylime', ...env }, cwd))
  return results
}

test('no variable of Node, OpenSSL, libuv or of a library inside changes what it says or leaves a file behind', async () => {
  const at = (name: string) => path.join(dir, name)
  fs.writeFileSync(at('evil.js'), `require('fs').writeFileSync(${JSON.stringify(at('evil ran'))}, '')`)
  fs.writeFileSync(at('openssl.cnf'), 'nodejs_conf = x\n[x]\nproviders = p\n[p]\nevil = e\n[e]\nmodule = /nonexistent.so\nactivate = 1\n')
  const variables = {
    NODE_OPTIONS: `--require ${at('evil.js')}`,
    NODE_REPL_EXTERNAL_MODULE: at('evil.js'),
    NODE_EXTRA_CA_CERTS: at('evil.js'),
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_V8_COVERAGE: at('coverage'),
    NODE_COMPILE_CACHE: at('compile-cache'),
    NODE_REDIRECT_WARNINGS: at('warnings'),
    NODE_PENDING_DEPRECATION: '1',
    NODE_DEBUG: 'http,https,net,tls,module,undici',
    NODE_DEBUG_NATIVE: 'tls',
    NODE_PATH: dir,
    NODE_ICU_DATA: dir,
    NODE_USE_ENV_PROXY: '1',
    NODE_CHANNEL_FD: '7',
    NODE_UNIQUE_ID: '3',
    NODE_TEST_CONTEXT: 'child-v8',
    OPENSSL_CONF: at('openssl.cnf'),
    OPENSSL_MODULES: dir,
    UV_THREADPOOL_SIZE: '0',
    FORCE_COLOR: '3',
    ICU_TIMEZONE_FILES_DIR: dir,
    CI: '1',
    DEBUG: '*',
    DIAGNOSTICS: '*',
    JEST_WORKER_ID: '1',
    LOG_STREAM: '1',
    LOG_TOKENS: '1',
    NO_DEPRECATION: '*',
    READABLE_STREAM: 'disable',
    TRACE_DEPRECATION: '*',
    UNDICI_NO_WASM_SIMD: '1',
    UNDICI_USE_MILO: '1',
    YARGS_MIN_NODE_VERSION: '99',
  }
  const plain = await outcome({})
  const files = fs.readdirSync(dir).toSorted()
  expect(plain.map(({ code }) => code)).toEqual([0, 0, 0, 2, 2])
  expect(await outcome(variables)).toEqual(plain)
  for (const [name, value] of Object.entries(variables)) {
    const { code, stdout, stderr } = await command(KEYLIME, ['version'], { [name]: value }, dir)
    expect([name, code, stdout, stderr]).toEqual([name, 0, plain[1]!.stdout, ''])
  }
  expect(fs.readdirSync(dir).toSorted()).toEqual(files)
})

test('no language changes what it says', async () => {
  const plain = await outcome({})
  for (const language of ['zh_CN.UTF-8', 'tr_TR.UTF-8'])
    expect(await outcome({ LANG: language, LC_ALL: language, LANGUAGE: language })).toEqual(plain)
})

test('no file in the current directory, or beside the executable, changes what it does', async () => {
  const plain = await outcome({})
  const evil = `require('fs').writeFileSync(${JSON.stringify(path.join(dir, 'evil ran'))}, '')`
  const text = JSON.stringify({ 'Options:': 'Evil:', 'Commands:': 'Evil:', 'Examples:': 'Evil:' })
  const traps: Record<string, string> = {
    'package.json': JSON.stringify({ name: 'keylime', type: 'module', main: 'evil.js', yargs: { 'boolean-negation': false } }),
    'node.config.json': JSON.stringify({ nodeOptions: { require: ['./evil.js'] } }),
    '.npmrc': 'node-options=--require ./evil.js\n',
    '.env': 'NODE_OPTIONS=--require ./evil.js\nKEYLIME_TENANT_VERIFIER_PORT=1\n',
    'evil.js': evil,
    'keylime.cjs': evil,
    'main.cjs': evil,
    'worker.cjs': evil,
    'openssl.cnf': 'evil\n',
    'keylime_native.node': 'evil',
    'libtss2-esys.so.0': 'evil',
    'libstdc++.so.6': 'evil',
    'locales/en.json': text,
    '../locales/en.json': text,
    ...Object.fromEntries(['yargs', 'winston', 'undici', 'bufferutil'].map((name) => [`node_modules/${name}/index.js`, evil])),
  }
  const place = path.join(dir, 'place')
  for (const [name, content] of Object.entries(traps)) {
    const file = path.join(place, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
  }
  expect(await outcome({}, place)).toEqual(plain)
  fs.copyFileSync(KEYLIME, path.join(place, 'keylime'))
  expect(await command(path.join(place, 'keylime'), ['tenant', '--help'], {}, '/')).toEqual(plain[2])
  expect(fs.existsSync(path.join(dir, 'evil ran'))).toBe(false)
})

/** Nothing can be written but one directory, from nothing that can be written may code be mapped, and traps lie where an addon could be unpacked. */
const CLOSED = `
mount --make-rprivate /
for place in /dev/shm /run /tmp /var/tmp; do
  mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 closed $place
  for name in keylime keylime_native.node better_sqlite3.node zeromq.node libtss2-esys.so.0; do
    echo trap > $place/$name; ln -s $place/$name $place/.$name
  done
done
mkdir /run/state
chown $1 /run/state
mount -o remount,bind,ro /
user=$1; shift
exec setpriv --reuid $user --regid $user --clear-groups "$@"
`

asRoot.each([
  ['root', 0],
  ['an ordinary user', 65534],
])('as %s, native parts are loaded where every directory is read-only or noexec, and full of traps', async (_name, user) => {
  const ports = await freePorts(4)
  const [verifier, registrar, tls, zmq] = ports.map(String) as [string, string, string, string]
  const env = {
    PATH: process.env['PATH']!,
    KEYLIME_DIR: '/run/state',
    KEYLIME_VERIFIER_PORT: verifier,
    KEYLIME_REGISTRAR_PORT: registrar,
    KEYLIME_REGISTRAR_TLS_PORT: tls,
    KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['zeromq']",
    KEYLIME_VERIFIER_REVOCATIONS_ZMQ_PORT: zmq,
  }
  const args = ['--mount', 'sh', '-ec', CLOSED, 'sh', String(user), KEYLIME, 'verifier']
  const child = spawn('unshare', args, { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk))
  try {
    const maps = () => fs.readFileSync(`/proc/${child.pid}/maps`, 'utf8')
    await until(
      'the addons',
      () => child.exitCode !== null || ['keylime native', 'better_sqlite3', 'zeromq'].every((name) => maps().includes(name)),
    )
    expect(child.exitCode === null ? '' : log).toBe('')
    const mapped = maps()
      .split('\n')
      .filter((line) => /r-xp/.test(line) && /\.node|memfd/.test(line))
    expect(mapped.every((line) => line.includes('/memfd:'))).toBe(true)
    for (const place of ['dev/shm', 'run', 'tmp', 'var/tmp'])
      expect(fs.readFileSync(`/proc/${child.pid}/root/${place}/keylime_native.node`, 'utf8')).toBe('trap\n')
  } finally {
    child.kill()
    if (child.exitCode === null) await once(child, 'exit')
  }
})

test('where native parts can be loaded from nowhere, the error names each place and what to do', () => {
  const { status, stderr } = spawnSync('prlimit', ['--fsize=200000', KEYLIME, 'verifier'], {
    env: { KEYLIME_DIR: dir, PATH: process.env['PATH']! },
    encoding: 'utf8',
  })
  expect(status).toBe(1)
  expect(stderr).toMatch(/cannot load .*: memory: EFBIG.*; \/dev\/shm: EFBIG/)
  expect(stderr).toContain('\nhint: allow executable files in memory')
})

test('what only the start reads of the executable does not stay in memory, and the role serves on', async () => {
  const [port] = (await freePorts(1)) as [number]
  const env = { PATH: process.env['PATH']!, KEYLIME_DIR: path.join(dir, 'idle'), KEYLIME_VERIFIER_HOST_REGISTRAR: 'False' }
  fs.mkdirSync(env.KEYLIME_DIR)
  const child = spawn(KEYLIME, ['verifier'], { env: { ...env, KEYLIME_VERIFIER_PORT: String(port) }, stdio: 'ignore' })
  const ofFiles = () => Number(/RssFile:\s+(\d+)/.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024
  try {
    const admin = await until('its certificates', () =>
      fs.existsSync(`${env.KEYLIME_DIR}/cv_ca/client-cert.crt`) ? adminClient(env.KEYLIME_DIR, port) : null,
    )
    const version = () => admin.request('GET', '/version').then(({ status }) => status)
    expect(await until('its API', () => version().catch(() => null))).toBe(200)
    const before = ofFiles()
    await until('pages that are given back', () => ofFiles() < before * 0.7, 60)
    expect(await version()).toBe(200)
    await admin.close()
  } finally {
    child.kill()
    if (child.exitCode === null) await once(child, 'exit')
  }
})
