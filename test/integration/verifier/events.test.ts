import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { API_VERSIONS } from '../../../src/core/api/versions.ts'
import { readAuditLine } from '../../../src/core/audit/audit-line.ts'
import { systemClock } from '../../../src/io/clock.ts'
import { openApiClient } from '../../../src/io/http/api-client.ts'
import type { Route } from '../../../src/io/http/route.ts'
import { serve } from '../../../src/io/http/server.ts'
import { type Logger, silentLogger } from '../../../src/io/log/logger.ts'
import { durableAnswers } from '../../../src/roles/verifier/audit/durable-answers.ts'
import { operatorOf, refusedPeer } from '../../../src/roles/verifier/audit/operator-of.ts'
import { startEvents } from '../../../src/roles/verifier/audit/start-events.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, anyClient, temporaryKeylimeDir, testLogger, until } from '../../servers.ts'

let home: ReturnType<typeof temporaryKeylimeDir>
beforeEach(() => {
  home = temporaryKeylimeDir()
})
afterEach(() => home.remove())

const file = (name: string) => path.join(home.dir, name)
const eventsIn = (name: string) =>
  fs
    .readFileSync(file(name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => readAuditLine(line)?.event)
const start = (audit_log: string, logger: Logger = silentLogger) =>
  startEvents({ values: { audit_log, audit_log_max_size: 0 }, keylimeDir: home.dir, clock: systemClock, logger })

test('a command is in the audit log with the name of its operator before the answer arrives, and who is refused too', async () => {
  await (await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))).stop() // makes the certificates
  const events = await start('commands.log')
  const routes: Route[] = [
    {
      method: 'PUT',
      path: '/stop/:id',
      access: 'admin',
      handle(request) {
        events.stream.raise({ type: 'agent_stopped', agent_id: request.params['id']!, operator: operatorOf(request) })
        return {}
      },
    },
  ]
  const pem = (name: string) => fs.readFileSync(file(`cv_ca/${name}`), 'utf8')
  const tls = {
    cert: pem('server-cert.crt'),
    key: pem('server-private.pem'),
    ca: [pem('cacert.crt')],
    requireCertificate: false,
    clients: anyClient,
  }
  const listening = await serve({
    host: '127.0.0.1',
    port: 0,
    tls,
    routes: durableAnswers(routes, events.flush),
    onRefused: ({ method, route, why, ...asked }) =>
      events.stream.raise({ type: 'request_refused', method, route, why, peer: refusedPeer(asked) }),
    versions: API_VERSIONS,
    logger: silentLogger,
  })
  const admin = adminClient(home.dir, listening.port)
  try {
    await admin.request('PUT', '/stop/a')
    const { subject, fingerprint256 } = new X509Certificate(pem('client-cert.crt'))
    const operatorOfClient = {
      common_name: /CN=(.*)/.exec(subject)![1],
      sha256: fingerprint256.replaceAll(':', '').toLowerCase(),
      address: '127.0.0.1',
    }
    expect(eventsIn('commands.log').at(-1)).toEqual({ type: 'agent_stopped', agent_id: 'a', operator: operatorOfClient })
    const stranger = openApiClient({
      url: `https://127.0.0.1:${listening.port}`,
      name: 'server',
      tls: { ca: [pem('cacert.crt')] },
      timeoutSeconds: 10,
    })
    expect((await stranger.request('PUT', '/stop/b')).status).toBe(403)
    await stranger.close()
    await expect(admin.request('PUT', '/stop/c', { body: { x: 'y'.repeat(1 << 20) } })).resolves.toMatchObject({ status: 413 })
    await events.flush()
    const { common_name, sha256 } = operatorOfClient
    expect(eventsIn('commands.log').slice(-2)).toEqual([
      {
        type: 'request_refused',
        method: 'PUT',
        route: '/stop/:id',
        why: 'it needs a client certificate from a trusted CA',
        peer: { kind: 'anonymous', common_name: null, sha256: null, address: '127.0.0.1' },
      },
      {
        type: 'request_refused',
        method: 'PUT',
        route: '/stop/:id',
        why: expect.stringMatching(/large|limit|bytes/),
        peer: { kind: 'certificate', common_name, sha256, address: '127.0.0.1' },
      },
    ])
  } finally {
    await admin.close()
    await listening.close()
    await events.stop()
  }
})

test('without `audit_log` there is none, which is said; events go to the log all the same', async () => {
  const said: string[] = []
  const say = (message: string) => void said.push(message)
  const events = await start('', { ...silentLogger, info: say, warn: say })
  events.stream.raise({ type: 'agent_attested', agent_id: 'a' })
  await events.flush()
  await events.stop()
  expect(said).toEqual(['no audit log is written: audit_log is empty', 'agent a is attested'])
  expect(fs.readdirSync(home.dir)).toEqual([])
})

test('an audit log that cannot be written is told at the start', async () => {
  await expect(start('no/audit.log')).rejects.toMatchObject({ code: 'file_failed' })
})

test('SIGHUP begins a new file when the old one was renamed, and leaves it otherwise', async () => {
  const script = path.join(import.meta.dirname, 'start-events.ts')
  const child = spawn(process.execPath, [script, home.dir], { stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  child.stdin.write('a\n')
  await until('raised', () => said.includes('a\n'))
  child.kill('SIGHUP')
  child.stdin.write('b\n')
  await until('raised', () => said.includes('b\n'))
  expect(eventsIn('audit.log').length).toBe(3)
  fs.renameSync(file('audit.log'), file('audit.log.1'))
  child.kill('SIGHUP')
  await until('a new file', () => fs.existsSync(file('audit.log')) && fs.readFileSync(file('audit.log'), 'utf8').endsWith('\n'))
  expect(eventsIn('audit.log')).toMatchObject([{ type: 'audit_continued' }])
  child.stdin.end()
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
})
