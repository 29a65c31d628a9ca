import fs from 'node:fs'
import path from 'node:path'
import tls from 'node:tls'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { PROGRAM } from '../../program.ts'
import { freePorts, temporaryKeylimeDir, until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { program } from '../ca/listener-bed.ts'

const place = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'of this test' })
const fresh = temporaryKeylimeDir()
const started: ReturnType<typeof program>[] = []
afterEach(async () => {
  for (const { child, exited } of started.splice(0)) {
    child.kill('SIGKILL')
    await exited
  }
})
afterAll(() => {
  place.remove()
  fresh.remove()
})

async function verifier() {
  const [port] = (await freePorts(1)) as [number]
  const running = program(['verifier'], { ...place.env, KEYLIME_VERIFIER_PORT: String(port) })
  started.push(running)
  await until('the registrar, which serves last', () => running.log().includes('registrar serves on'), 30)
  return { ...running, port }
}

/** Serial of the certificate that the verifier shows. */
const shown = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? '')
      socket.destroy()
    })
    socket.on('error', reject)
  })

walk('a service whose log nobody reads any more goes on', async () => {
  const { child, port, exited } = await verifier()
  child.stdout.destroy()
  child.stderr.destroy()
  for (let line = 0; line < 3; line++) child.kill('SIGHUP') // each makes it write lines
  for (let times = 0; times < 20; times++) await shown(port)
  expect(child.exitCode).toBeNull()
  child.kill('SIGTERM')
  expect(await exited).toBe(0)
})

test('SIGHUP: the certificate of the file is shown, and one that cannot be used changes nothing', async () => {
  const { child, port, log } = await verifier()
  const before = await shown(port)
  const config = loadConfig('ca', caOptions, { env: place.env })
  const directory = path.join(place.dir, 'cv_ca')
  const access = { directory, password: config.values.password.reveal(), settings: caSettings(config.values), now: Date.now }
  await withAuthority(access, (authority) => authority.issue({ name: 'server' }))
  expect(await shown(port)).toBe(before)
  child.kill('SIGHUP')
  await until('the words of the log', () => log().includes('certificates and trusted CAs are read again'))
  const after = await shown(port)
  expect(after).not.toBe(before)
  const key = path.join(directory, 'server-private.pem')
  const good = fs.readFileSync(key)
  fs.writeFileSync(key, 'nonsense')
  child.kill('SIGHUP')
  await until('the refusal', () =>
    /cannot be read again, those before stay: server_key: .*server-private\.pem holds no private key/.test(log()),
  )
  expect(await shown(port)).toBe(after)
  fs.writeFileSync(key, good)
})

test.each([
  ['stdout', 141],
  ['stderr', 0],
] as const)('a command whose %s nobody reads ends with %i, and says nothing', async (stream, code) => {
  const command = program(['verifier', '--check-config'], fresh.env)
  started.push(command)
  command.child[stream].destroy()
  expect(await command.exited).toBe(code)
  expect(command.log()).not.toMatch(/Error|bug/)
})

test('a result that cannot be written is a failure, in words', async () => {
  const full = fs.openSync('/dev/full', 'w')
  const { spawn } = await import('node:child_process')
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', PROGRAM, '--version'], {
    stdio: ['ignore', full, 'pipe'],
  })
  let err = ''
  child.stderr!.on('data', (chunk) => (err += chunk))
  const code = await new Promise((resolve) => child.on('close', resolve))
  fs.closeSync(full)
  expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^error: the result cannot be written: ENOSPC/) })
})
