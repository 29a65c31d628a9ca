import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { knownNames } from '../../../src/roles/tenant/known-names.ts'
import { keylime as run } from '../../command-line.ts'
import { runtimePolicy } from '../../ima.ts'
import { PROGRAM } from '../../program.ts'
import { type Shell, ShellSession } from '../../shell-session.ts'
import { sampled, walk } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-completion-'))
const bed = new VerifierBed()
let env: NodeJS.ProcessEnv

const keylime = (...args: string[]) => run(args, { env })

const POLICY = { body: { runtime_policy: Buffer.from(runtimePolicy()).toString('base64') } }
/** What a verifier that lies would say beside the names that it has: a shell must not do it. */
const HOSTILE = '$(touch pwned)`touch pwned`'

beforeAll(async () => {
  await bed.start()
  env = { ...process.env, ...bed.home.env, KEYLIME_TENANT_VERIFIER_PORT: String(bed.verifier.port), KEYLIME_TENANT_REGISTRAR_PORT: '1' }
  await bed.add('rack-10', await bed.machine())
  expect(await bed.admin.request('POST', '/v2.6/allowlists/fleet', POLICY)).toMatchObject({ status: 201 })
  for (const name of ['payload dir', 'payloads']) fs.mkdirSync(path.join(dir, name))
  fs.writeFileSync(path.join(dir, 'secret.txt'), '')
  const program = path.join(dir, 'bin/keylime') // what completions ask; in a session a function stands before it
  fs.mkdirSync(path.dirname(program))
  fs.writeFileSync(program, `#!/bin/sh\necho '${HOSTILE}'\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`, {
    mode: 0o755,
  })
  env['PATH'] = `${path.dirname(program)}:${process.env['PATH']}`
}, 60_000)
afterAll(async () => {
  await bed.stop()
  fs.rmSync(dir, { recursive: true, force: true })
})

test.each([
  ['agent', ['rack-10']],
  ['runtime-policy', ['fleet']],
  ['mb-policy', []],
  ['policy', ['fleet']],
  ['nonsense', []],
])('names of the kind %s are what the verifier has', async (kind, expected) => expect(await knownNames(kind, env)).toEqual(expected))

test('a name that looks like an option is not completed: nobody runs one that a machine has chosen', async () => {
  expect(await bed.admin.request('POST', '/v2.6/allowlists/--yes', POLICY)).toMatchObject({ status: 201 })
  expect(await knownNames('policy', env)).toEqual(['fleet'])
})

test('a shell gets a name a line', async () => {
  expect(await keylime('completion', 'values', 'agent')).toEqual({ status: 0, stdout: 'rack-10\n', stderr: '' })
})

walk('nothing is said when nobody answers, when somebody never does, and when nothing is set up', async () => {
  const silent = { status: 0, stdout: '', stderr: '' }
  const mute = net.createServer().listen(0, '127.0.0.1')
  const sockets = new Set<net.Socket>()
  mute.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)))
  await new Promise((resolve) => mute.once('listening', resolve))
  const whole = env
  for (const change of [
    { KEYLIME_TENANT_VERIFIER_PORT: '1' },
    { KEYLIME_TENANT_VERIFIER_PORT: String((mute.address() as net.AddressInfo).port) },
    { KEYLIME_DIR: '/nowhere' },
    { KEYLIME_TENANT_VERIFIER_PORT: 'many' },
  ]) {
    env = { ...whole, ...change }
    expect(await keylime('completion', 'values', 'agent')).toEqual(silent)
  }
  env = whole
  for (const socket of sockets) socket.destroy()
  mute.close()
})

test('a shell that is not known is refused', async () => {
  expect(await keylime('completion', 'tcsh')).toMatchObject({ status: 2, stderr: expect.stringContaining('it is one of bash, zsh, fish') })
  expect(await keylime('completion')).toMatchObject({ status: 2 })
})

const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish']

/** What is typed before the tab, and the words of the line after it. */
const LINES: readonly (readonly [string, string, readonly string[]])[] = [
  ['a role', 'keylime tena', ['tenant']],
  ['a word that shares the options of its command', 'keylime tenant expl', ['tenant', 'explain']],
  ['a word below a word', 'keylime policy create meas', ['policy', 'create', 'measured-boot']],
  ['an option', 'keylime tenant add --registrarh', ['tenant', 'add', '--registrarhost']],
  ['an option behind others with values', 'keylime tenant add -u add -tp 9 --inc', ['tenant', 'add', '-u', 'add', '-tp', '9', '--include']],
  ['what leaves something out', 'keylime tenant add --no-wait-', ['tenant', 'add', '--no-wait-script']],
  ['a word that is a value', 'keylime ca create --role oper', ['ca', 'create', '--role', 'operator']],
  ['a state', 'keylime tenant list --state unre', ['tenant', 'list', '--state', 'unreachable']],
  ['a file', 'keylime tenant add -f sec', ['tenant', 'add', '-f', 'secret.txt']],
  ['a file behind =', 'keylime tenant add --file=sec', ['tenant', 'add', '--file=secret.txt']],
  ['a directory with a blank', 'keylime tenant add --include payload\\ ', ['tenant', 'add', '--include', 'payload dir/']],
  ['a file at its place', 'keylime policy lint sec', ['policy', 'lint', 'secret.txt']],
  ['a role at its place', 'keylime config show verif', ['config', 'show', 'verifier']],
  ['an option of the role before it', 'keylime config set agent uu', ['config', 'set', 'agent', 'uuid']],
  ['an option after a value that may be left out', 'keylime tenant add --cert --inc', ['tenant', 'add', '--cert', '--include']],
  ['the id of a machine', 'keylime tenant status -u rack', ['tenant', 'status', '-u', 'rack-10']],
  ['the id of a machine at its place', 'keylime tenant status ra', ['tenant', 'status', 'rack-10']],
  ['the name of a policy', 'keylime tenant add --runtime-policy-name fl', ['tenant', 'add', '--runtime-policy-name', 'fleet']],
  ['nothing where nothing fits', 'keylime tenant sta --nonsense', ['tenant', 'sta', '--nonsense']],
]

describe.each(SHELLS)('a real %s', (shell) => {
  let session: ShellSession
  beforeAll(async () => {
    const { stdout } = await keylime('completion', shell)
    const script = path.join(dir, `keylime.${shell}`)
    fs.writeFileSync(script, stdout)
    expect(spawnSync(shell, ['-n', script], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
    session = new ShellSession(shell, { cwd: dir, env })
    await session.load(script)
  }, 60_000)
  afterAll(() => session.end())

  test.each(sampled(LINES, SHELLS.length, SHELLS.indexOf(shell)))('completes %s', async (_, line, expected) =>
    expect((await session.completed(line)).map((word) => word.replace(/\/$/, ''))).toEqual(expected.map((word) => word.replace(/\/$/, ''))),
  )

  test('does nothing that a name says', async () => {
    const line = 'keylime tenant add --runtime-policy-name '
    for (const begun of ['', '\\$', ...(shell === 'bash' ? ['$'] : [])]) await session.completed(`${line}${begun}`)
    expect(fs.existsSync(path.join(dir, 'pwned'))).toBe(false)
  })
})
