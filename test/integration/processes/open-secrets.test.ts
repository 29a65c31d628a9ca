import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { servicePassword } from '../../../src/authority/service-password.ts'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { openServerCertificate } from '../../../src/roles/agent/identity/server-certificate.ts'
import { openTransportKey } from '../../../src/roles/agent/identity/transport-key.ts'
import { keylime as run } from '../../command-line.ts'
import { PROGRAM } from '../../program.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { temporaryKeylimeDir, testLogger } from '../../servers.ts'

const place = temporaryKeylimeDir()
const file = (name: string) => path.join(place.dir, name)
afterAll(() => place.remove())

beforeAll(async () => {
  const settings = caSettings(loadConfig('ca', caOptions, { env: place.env }).values)
  const request = { role: 'verifier', keylimeDir: place.dir, tlsDir: 'generate', names: ['127.0.0.1'] } as const
  const caPassword = await servicePassword(file('cv_ca'), 'default')
  await ensureTlsDirectory({ ...request, caPassword, settings, serverKeyPassword: '', clientKeyPassword: '', now: Date.now })
  await initCaDirectory({ directory: file('ca'), password: 'of the file', settings, now: Date.now })
  fs.writeFileSync(file('password'), 'of the file\n', { mode: 0o600 })
  fs.copyFileSync(file('cv_ca/client-private.pem'), file('server-private.pem'))
  fs.copyFileSync(file('cv_ca/client-private.pem'), file('payload-private.pem'))
  giveNotifierKey(place.dir)
})

const env: NodeJS.ProcessEnv = {
  ...place.env,
  PATH: process.env['PATH'],
  KEYLIME_AGENT_TRUSTED_CLIENT_CA: file('cv_ca/cacert.crt'),
  KEYLIME_CA_PASSWORD_FILE: file('password'),
  KEYLIME_CA_LISTEN_PORT: '0',
  KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent']",
}
/** A service that is not refused would go on in the process of the test. */
const keylime = (...args: string[]) =>
  args.includes('--check-config') || args.includes('list')
    ? run(args, { env })
    : spawnSync(process.execPath, [PROGRAM, ...args], { env, encoding: 'utf8', timeout: 60_000 })

/** Names, sizes and modes of all that is there: a start that is refused leaves it alone. */
const state = () =>
  fs
    .readdirSync(place.dir, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const { size, mode, mtimeMs } = fs.lstatSync(file(name))
      return [name, size, mode, fs.lstatSync(file(name)).isDirectory() ? 0 : mtimeMs]
    })

/** Does something while everybody may read a file. */
async function opened<T>(name: string, mode: number, work: () => T | Promise<T>): Promise<T> {
  const { mode: before } = fs.statSync(file(name))
  fs.chmodSync(file(name), mode)
  try {
    return await work()
  } finally {
    fs.chmodSync(file(name), before)
  }
}

describe('a private key or a password that every user may read is refused, with the mode and how to change it', () => {
  test.each([
    ['verifier', 'cv_ca/server-private.pem', ['verifier'], 'server_key: '],
    ['verifier', 'cv_ca/client-private.pem', ['verifier'], 'client_key: '],
    ['verifier', 'notifier-private.pem', ['verifier', '--check-config'], ''],
    ['verifier', 'cv_ca-password', ['verifier'], ''],
    ['verifier', 'cv_ca/private.yml', ['verifier'], ''],
    ['registrar', 'cv_ca/server-private.pem', ['registrar'], 'server_key: '],
    ['tenant', 'cv_ca/client-private.pem', ['tenant', 'list'], 'client_key: '],
    ['ca', 'password', ['ca', 'listen'], ''],
    ['ca', 'ca/private.yml', ['ca', 'listen'], ''],
    ['ca', 'password', ['ca', '--check-config'], 'password_file: '],
    ['agent', 'server-private.pem', ['agent', '--check-config'], 'server_key: '],
    ['agent', 'payload-private.pem', ['agent', '--check-config'], 'payload_key: '],
  ])('by the %s: %s', async (_, name, args, option) => {
    const before = state()
    const { status, stderr } = await opened(name, 0o644, () => keylime(...args))
    expect(stderr).toMatch(new RegExp(`${option}${file(name)} can be read by every user of this machine \\(mode 644\\)`))
    expect(stderr).toContain(`run \`chmod o= ${file(name)}\``)
    expect(status).toBe(2)
    expect(state()).toEqual(before)
  })
})

test('so it is by an agent that opens its keys, which makes no others in their place', async () => {
  const serial = Buffer.alloc(16, 7)
  const more = { isNamed: false, password: '', agentId: 'a', contactIp: '127.0.0.1', now: Date.now(), serial, logger: testLogger('agent') }
  const tls = () => openServerCertificate({ keyFile: file('server-private.pem'), certFile: file('agent.crt'), ...more })
  const payload = () => openTransportKey({ file: file('payload-private.pem'), password: '' }, null)
  for (const [name, open] of [
    ['server-private.pem', tls],
    ['payload-private.pem', payload],
  ] as const) {
    const before = fs.readFileSync(file(name))
    await opened(name, 0o604, () => expect(open()).rejects.toMatchObject({ code: 'config_invalid' }))
    expect(fs.readFileSync(file(name))).toEqual(before)
  }
})

test('one that every user may only change is refused, too; one for a group is not', async () => {
  const check = () => keylime('tenant', '--check-config')
  expect((await opened('cv_ca/client-private.pem', 0o602, check)).stderr).toContain('can be changed by every user')
  expect(await opened('cv_ca/client-private.pem', 0o640, check)).toMatchObject({ status: 0 })
})

test('a password may come through a pipe', () => {
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM, 'ca', 'list', '--password-file', '/dev/stdin'], {
    env,
    encoding: 'utf8',
    input: 'of the file\n',
  })
  expect([status, stderr]).toEqual([0, ''])
})
