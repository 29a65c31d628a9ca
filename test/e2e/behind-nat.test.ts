import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { type Swtpm, startSwtpm } from '../swtpm.ts'
import { Deployment, KEYLIME, unmount } from './deployment.ts'

/** Namespaces of the network are made by root. */
const describeWithNamespaces = canUnshare() ? describe : describe.skip
const RELAY = path.join(import.meta.dirname, 'relay.ts')
const ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c0aaaa'

/**
 * A machine in a network of its own that has no link at all: nothing can call it. Its two ways out, to verifier and registrar, are relays that begin inside; what a NAT lets through is
 * just this.
 */
describeWithNamespaces('a machine that nobody can call', () => {
  const d = new Deployment()
  const dir = path.join(d.dir, 'nat')
  const children: ChildProcess[] = []
  let log = ''
  let tpm: Swtpm

  function start(command: string, args: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn(command, args, {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    children.push(child)
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (log += chunk))
    return child
  }

  const relayed = (port: string) => path.join(dir, `${port}.sock`)

  beforeAll(async () => {
    fs.mkdirSync(dir, { recursive: true })
    await d.start({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '1' })
    tpm = await startSwtpm({ ekCertificate: true, caDirectory: path.join(d.dir, 'maker') })
    for (const file of tpm.manufacturerCertificates) fs.copyFileSync(file, path.join(d.server, 'tpm_cert_store', path.basename(file)))
    const { KEYLIME_VERIFIER_PORT: verifier, KEYLIME_REGISTRAR_PORT: registrar } = d.environment as Record<string, string>
    for (const port of [verifier!, registrar!]) start(process.execPath, [RELAY, relayed(port), port])
    const inside = [verifier!, registrar!].map((port) => `"$NODE" "$RELAY" ${port} ${relayed(port)} &`)
    const script = [
      'set -e',
      'ip link set lo up',
      'ip -o link | wc -l > "$KEYLIME_DIR/links"',
      ...inside,
      `exec "$KEYLIME" agent --verifier-url https://127.0.0.1:${verifier}`,
    ]
    start('unshare', ['--net', 'sh', '-c', script.join('\n')], {
      NODE: process.execPath,
      RELAY,
      KEYLIME,
      KEYLIME_DIR: dir,
      TCTI: tpm.tcti,
      KEYLIME_AGENT_UUID: ID,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_REGISTRAR_PORT: registrar!,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(d.server, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_ATTESTATION_INTERVAL_SECONDS: '1',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_INITIAL_DELAY: '300',
    })
    await until('the machine to register', () => log.includes(`Registration activated for agent ${ID}`), 40)
  })

  afterAll(async () => {
    for (const child of children) {
      const isRunning = child.exitCode === null && child.signalCode === null
      try {
        process.kill(-child.pid!, 'SIGTERM') // the whole group: the relays inside outlive the agent
      } catch {}
      if (isRunning) await once(child, 'exit')
    }
    unmount(path.join(dir, 'secure'))
    await tpm?.stop()
    await d.stop()
  })

  const status = async () => {
    const { stdout } = await d.tenant('cvstatus', '-u', ID, '--json')
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { verifier: Record<string, unknown> | null }).verifier
  }

  test('its network has no link, only itself', () => {
    expect(fs.readFileSync(path.join(dir, 'links'), 'utf8').trim()).toBe('1')
  })

  test('it is enrolled without a call, attested again and again, and fails when its PCR changes', async () => {
    const policy = JSON.stringify({ 15: ['0'.repeat(64)] })
    const { code, stdout, stderr } = await d.tenant('add', '--push-model', '-u', ID, '--tpm-policy', policy)
    expect({ code, output: code === 0 ? '' : stdout + stderr }).toEqual({ code: 0, output: '' })
    await until('three attestations', async () => ((await status())?.['attestation_count'] as number) >= 3, 40)
    await tpm.extendPcr(15, Buffer.alloc(32, 1))
    const failed = await until('a failure', async () => ((await status())?.['last_event_id'] ? status() : undefined), 40)
    expect(failed['last_event_id']).toBe('pcr_validation.invalid_pcr_15')
    await until('its own log to say so', () => /refuses a new attestation of this machine \(403\)/.test(log), 20)
  })

  test('it ends when it is told to', async () => {
    const agent = children.at(-1)!
    process.kill(agent.pid!, 'SIGTERM')
    await until('the end', () => agent.exitCode !== null || agent.signalCode !== null)
    expect(agent.exitCode).toBe(0)
  })
})

function canUnshare(): boolean {
  try {
    execFileSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}
