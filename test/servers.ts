import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiClient, type ClientTls, LARGE_ANSWERS, openApiClient } from '../src/io/http/api-client.ts'
import type { ClientCheck } from '../src/io/http/client-check.ts'
import { createLogger, type Logger, silentLogger } from '../src/io/log/logger.ts'

/** A KEYLIME_DIR of its own, and the environment of servers on free ports in it. */
export function temporaryKeylimeDir(settings: Record<string, string> = {}): { dir: string; env: NodeJS.ProcessEnv; remove(): void } {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-test-'))
  const env = {
    KEYLIME_DIR: dir,
    KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa',
    KEYLIME_VERIFIER_PORT: '0',
    KEYLIME_REGISTRAR_PORT: '0',
    KEYLIME_REGISTRAR_TLS_PORT: '0',
    ...settings,
  }
  return { dir, env, remove: () => fs.rmSync(dir, { recursive: true, force: true }) }
}

/** An administrator's client: the client certificate of cv_ca. */
export function adminClient(dir: string, port: number, changes: Partial<ClientTls> = {}): ApiClient {
  const read = (name: string) => fs.readFileSync(path.join(dir, 'cv_ca', name), 'utf8')
  const tls = { cert: read('client-cert.crt'), key: read('client-private.pem'), ca: [read('cacert.crt')], ...changes }
  return openApiClient({ url: `https://127.0.0.1:${port}`, name: 'server', tls, timeoutSeconds: 10, answers: LARGE_ANSWERS })
}

/** Of a listener that is not about who may call: whoever the TLS library accepts. */
export const anyClient: ClientCheck = {
  whyRefused: () => undefined,
  judgesChain: () => true,
  trust: () => ({ authorities: [], lists: [], authorized: [] }),
  lists: { current: () => [], countOn: () => {} },
}

/** Waits until `probe` gives something, asking less often the longer it takes: most probes are requests to a server of this process. @throws when it does not within `seconds`. */
export async function until<T>(what: string, probe: () => T | Promise<T>, seconds = 30): Promise<NonNullable<T>> {
  const end = performance.now() + seconds * 1000
  for (let wait = 5; ; wait = Math.min(wait * 1.5, 40)) {
    const value = await probe()
    if (value) return value as NonNullable<T>
    if (performance.now() > end) throw new Error(`waited ${seconds} s for ${what}`)
    await sleep(wait)
  }
}

/** Silent, unless KEYLIME_TEST_LOG is set. */
export const testLogger = (name: string): Logger =>
  process.env['KEYLIME_TEST_LOG'] ? createLogger({ name, level: 'debug' }) : silentLogger

/** Two ports in a row that nobody listens on now. @returns the first. */
export async function freePortPair(): Promise<number> {
  for (;;) {
    const [port] = (await freePorts(1)) as [number]
    const next = net.createServer()
    const free = await new Promise<boolean>((done) => next.on('error', () => done(false)).listen(port + 1, '0.0.0.0', () => done(true)))
    await new Promise((done) => next.close(done))
    if (free) return port
  }
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer()
      await new Promise<void>((done) => server.listen(0, '0.0.0.0', done))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}
