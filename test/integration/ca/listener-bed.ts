import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { issueCertificate } from '../../../src/authority/issue-certificate.ts'
import { withIssuer } from '../../../src/authority/open-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { revocationMessage } from '../../../src/core/revocation/message.ts'
import { signRevocation } from '../../../src/core/revocation/signature.ts'
import type { Logger } from '../../../src/io/log/logger.ts'
import { PROGRAM } from '../../program.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')

/** An authority from before, whose serials are counted, with a notifier (serial 2, RSA) and machines `m3`, `m4`, … */
export async function authorityBed(settings: Record<string, string> = {}, machines = 3) {
  const home = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'secret', KEYLIME_CA_LISTEN_PORT: '0', ...settings })
  const directory = path.join(home.dir, 'ca')
  const clock = { offset: 0 }
  const config = loadConfig('ca', caOptions, { env: home.env })
  const access: CaAccess = { directory, password: 'secret', settings: caSettings(config.values), now: () => Date.now() + clock.offset }
  await initCaDirectory(access)
  const rsa: CaAccess = { ...access, settings: { ...access.settings, keyKind: { type: 'rsa', bits: 2048 } } }
  const counted = (of: CaAccess, name: string, serial: bigint) =>
    withIssuer(of, (issuer) => {
      Object.assign(issuer.store, { newSerial: () => serial })
      return issueCertificate(issuer, { name })
    })
  const key = createPrivateKey((await counted(rsa, 'RevocationNotifier', 2n)).privateKeyPem!)
  for (let i = 3; i < machines + 3; i++) await counted(access, `m${i}`, BigInt(i))
  return { ...home, config, directory, clock, access, key, file: (name: string) => path.join(directory, name) }
}

export const notice = (key: KeyObject, serial: number | string | null, changes: object = {}) => {
  const text = revocationMessage({
    type: 'revocation',
    ip: '10.0.0.7',
    agentId: `agent-${serial}`,
    port: 9002,
    tpmPolicy: '{}',
    metaData: serial === null ? '{}' : JSON.stringify({ cert_serial: serial, subject: 'CN=x' }),
    eventTime: new Date(2026, 1, 1),
    eventId: 'ima.x',
    severityLabel: 'emergency',
    context: '{}',
    ...changes,
  })
  return signedNotice(key, text)
}

export const signedNotice = (key: KeyObject, msg: string) => ({ msg, signature: signRevocation(key, msg) })

export const post = (url: string, body: unknown) =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

export const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
/** Both streams, whatever the exit code is. Does not block: the server under test is in this process. */
export async function opensslText(...args: string[]): Promise<string> {
  const child = spawn('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk))
  await once(child, 'close')
  return text
}

/** Serials of a list file, as openssl reads it, after it checked the signature. */
export function serialsOf(directory: string): string[] {
  const file = path.join(directory, 'cacrl.der')
  const checked = spawnSync(
    'openssl',
    ['crl', '-inform', 'DER', '-in', file, '-CAfile', path.join(directory, 'cacert.crt'), '-noout', '-text'],
    {
      encoding: 'utf8',
    },
  )
  if (!checked.stderr.includes('verify OK')) throw new Error(`not a good list: ${checked.stderr}`)
  return [...checked.stdout.matchAll(/Serial Number: 0*([0-9A-F]+)/g)].map(([, hex]) => String(Number.parseInt(hex!, 16)))
}

/** The program in a process of its own, of the sources. */
export function program(args: string[], env: NodeJS.ProcessEnv, options: { cwd?: string; argv0?: string } = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd: ROOT,
    ...options,
    env: { ...process.env, NODE_OPTIONS: '--disable-warning=ExperimentalWarning', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk))
  const exited = once(child, 'close').then(([code]) => code as number | null)
  return { child, log: () => log, exited }
}

/** Log lines that a test can read. */
export function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = []
  const logger = Object.fromEntries(
    ['debug', 'info', 'warn', 'error'].map((level) => [level, (text: string) => lines.push(`${level} ${text}`)]),
  )
  return { logger: { ...logger, child: () => logger } as never, lines }
}

export const readText = (file: string) => fs.readFileSync(file, 'utf8')
