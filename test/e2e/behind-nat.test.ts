import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { type Swtpm, startSwtpm } from '../swtpm.ts'
import { Deployment, KEYLIME, unmount } from './deployment.ts'
import { commandsOf, PageShell } from './page.ts'

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
  let agent: ChildProcess

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

  /** The agent, in a network of its own. */
  function startAgent(): void {
    const { KEYLIME_VERIFIER_PORT: verifier, KEYLIME_REGISTRAR_PORT: registrar } = d.environment as Record<string, string>
    const inside = [verifier!, registrar!].map((port) => `"$NODE" "$RELAY" ${port} ${relayed(port)} &`)
    const script = [
      'set -e',
      'ip link set lo up',
      'ip -o link | wc -l > "$KEYLIME_DIR/links"',
      ...inside,
      `exec "$KEYLIME" agent --verifier-url https://127.0.0.1:${verifier}`,
    ]
    agent = start('unshare', ['--net', 'sh', '-c', script.join('\n')], {
      NODE: process.execPath,
      RELAY,
      KEYLIME,
      KEYLIME_DIR: dir,
      TCTI: tpm.tcti,
      KEYLIME_AGENT_UUID: ID,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_REGISTRAR_PORT: registrar!,
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(d.server, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(d.server, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_ATTESTATION_INTERVAL_SECONDS: '1',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_INITIAL_DELAY: '300',
      KEYLIME_AGENT_UNMOUNT_SECURE: 'false',
    })
  }

  async function endAgent(signal: NodeJS.Signals): Promise<void> {
    process.kill(agent.pid!, signal)
    await until('its end', () => agent.exitCode !== null || agent.signalCode !== null)
    endGroup(agent)
  }

  /** With its relays, which outlive it. */
  function endGroup({ pid }: ChildProcess): void {
    try {
      process.kill(-pid!, 'SIGTERM')
    } catch {}
  }

  const relayed = (port: string) => path.join(dir, `${port}.sock`)

  beforeAll(async () => {
    fs.mkdirSync(dir, { recursive: true })
    await d.start({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '1' })
    tpm = await startSwtpm({ ekCertificate: true, caDirectory: path.join(d.dir, 'maker') })
    for (const file of tpm.manufacturerCertificates) fs.copyFileSync(file, path.join(d.server, 'tpm_cert_store', path.basename(file)))
    const { KEYLIME_VERIFIER_PORT: verifier, KEYLIME_REGISTRAR_PORT: registrar } = d.environment as Record<string, string>
    for (const port of [verifier!, registrar!]) start(process.execPath, [RELAY, relayed(port), port])
    startAgent()
    await until('the machine to register', () => log.includes(`Registration activated for agent ${ID}`), 40)
  })

  afterAll(async () => {
    for (const child of children) {
      const isRunning = child.exitCode === null && child.signalCode === null
      endGroup(child)
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

  const secure = (...names: string[]) => path.join(dir, 'secure', ...names)
  const tenant = async (...args: string[]) => {
    const { code, stdout, stderr } = await d.tenant(...args)
    return `${code} ${stdout}${stderr}`
  }

  /** A command of the guide, as it stands there. */
  async function follow(line: string): Promise<string> {
    const { code, stdout, stderr } = await new PageShell(d, path.join(d.dir, 'etc')).run(line.replace(/\bID\b/, ID))
    return `${code} ${stdout}${stderr}`
  }

  test('its network has no link, only itself, and there nobody listens but its two ways out', () => {
    expect(fs.readFileSync(path.join(dir, 'links'), 'utf8').trim()).toBe('1')
    const sockets = ['tcp', 'tcp6'].flatMap((kind) => listening(fs.readFileSync(`/proc/${agent.pid}/net/${kind}`, 'utf8')))
    const { KEYLIME_VERIFIER_PORT: verifier, KEYLIME_REGISTRAR_PORT: registrar } = d.environment
    expect(sockets.toSorted()).toEqual([Number(verifier), Number(registrar)].toSorted())
  })

  test('it is enrolled without a call, and gets certificates, files and a script that runs once', async () => {
    d.payload({
      'secret.txt': 'a secret behind NAT\n',
      'autorun.sh': '#!/bin/bash\necho once >> ../ran\n',
      action_list: 'local_action_note\n',
      'local_action_note.sh': `#!/bin/bash\ncat > ${dir}/acted\n`,
    })
    fs.writeFileSync(path.join(d.dir, 'tpm-policy.json'), JSON.stringify({ 15: ['0'.repeat(64)] }))
    const [add] = commandsOf('behind-nat.md', 'Enrol one, and deliver') as [string]
    expect(await follow(add)).toMatch(/^0 [\s\S]*is trusted, and its payload is delivered[\s\S]*agent proved that it derived the key/)
    expect(fs.readFileSync(secure('unzipped/secret.txt'), 'utf8')).toBe('a secret behind NAT\n')
    expect(fs.existsSync(secure('unzipped', `${ID}-cert.crt`))).toBe(true)
    expect(fs.readFileSync(secure('ran'), 'utf8')).toBe('once\n')
    expect(await tenant('status', '-u', ID)).toMatch(/payload +delivery 1: \d+ files unpacked, its script ended well/)
    expect(await tenant('list')).toMatch(/#1 script done/)
  }, 60_000)

  test('another machine is revoked, and it hears of it and acts, though nobody can call it', async () => {
    const other = await d.machine()
    expect(await tenant('add', '-u', other.id)).toMatch(/^0 /)
    expect(await tenant('revoke', '-u', other.id, '--yes')).toMatch(/^0 [\s\S]*is revoked/)
    await until(
      'the action',
      () => fs.existsSync(path.join(dir, 'acted')) && fs.readFileSync(path.join(dir, 'acted'), 'utf8').includes(other.id),
      20,
    )
    await until('it to be told', async () => /"outcome":"acted"/.test(await tenant('revocations', '--json')), 20)
  }, 60_000)

  test('while it is off the next payload lies sealed at the verifier, and the tenant need not wait', async () => {
    await endAgent('SIGKILL')
    fs.writeFileSync(path.join(d.dir, 'first.txt'), 'a secret that nobody took\n')
    const waiting = d.service('tenant', 'update', '-u', ID, '-f', 'first.txt', '--json')
    const told = await until('the waiting to be told', () => /^\{"event":"waiting".*$/m.exec(waiting.log())?.[0], 20)
    expect(JSON.parse(told)).toEqual({ event: 'waiting', agent_id: ID, last_seen: expect.stringMatching(/^\d{4}-/) })
    expect(await waiting.kill('SIGINT')).toBe(130)
    const [last] = waiting.log().trim().split('\n').slice(-1)
    expect(JSON.parse(last!).summary).toMatch(
      /^interrupted: agent \S+ stays enrolled, and gets its payload when it comes: `keylime tenant status -u /,
    )
    const left = await d.tenant('update', '-u', ID, '-f', 'first.txt', '--timeout', '8')
    expect([left.code, left.stderr]).toEqual([
      4,
      expect.stringMatching(/has not come for its payload within 8 s \((last|never) seen[\s\S]*the machine stays enrolled/),
    ])
    fs.writeFileSync(path.join(d.dir, 'new-secret.txt'), 'the second secret\n')
    const [update, show, list] = commandsOf('behind-nat.md', 'A machine that is off') as [string, string, string]
    expect(await follow(update)).toMatch(/^0 [\s\S]*gets its payload when it comes/)
    expect(await follow(show)).toMatch(
      /payload +delivery 4: waits at the verifier until the machine comes and is good \(ordered \d+ s ago\)/,
    )
    expect(await follow(list)).toMatch(/#4 waiting/)
    const found = execFileSync('grep', ['-rlF', 'the second secret', d.dir], { encoding: 'utf8' }).trim()
    expect(found).toBe(path.join(d.dir, 'new-secret.txt'))
  }, 60_000)

  test('it comes back, and gets it; the script of the first has not run again', async () => {
    startAgent()
    await until('the second payload', () => fs.existsSync(secure('decrypted_payload')), 40)
    expect(fs.readFileSync(secure('decrypted_payload'), 'utf8')).toBe('the second secret\n')
    await until('it to be told', async () => /delivery 4: 1 file unpacked/.test(await tenant('status', '-u', ID)), 20)
    expect(fs.readFileSync(secure('ran'), 'utf8')).toBe('once\n')
  }, 60_000)

  test('neither what the verifier keeps nor what it logs has anything of a secret in it', () => {
    const holds = (text: string) => spawnSync('grep', ['-rlsF', text, d.server], { encoding: 'utf8' }).stdout
    expect(holds(ID)).not.toBe('')
    for (const text of ['a secret behind NAT', 'a secret that nobody took', 'the second secret']) {
      expect(d.verifier.log()).not.toContain(text)
      expect(holds(text)).toBe('')
    }
  })

  test('it is attested again and again, and fails when its PCR changes', async () => {
    await until('three attestations', async () => ((await status())?.['attestation_count'] as number) >= 3, 40)
    await tpm.extendPcr(15, Buffer.alloc(32, 1))
    const failed = await until('a failure', async () => ((await status())?.['last_event_id'] ? status() : undefined), 40)
    expect(failed['last_event_id']).toBe('pcr_validation.invalid_pcr_15')
    await until('its own log to say so', () => /refuses a new attestation of this machine \(403\)/.test(log), 20)
  }, 60_000)

  test('a payload for a machine that failed stays where it is', async () => {
    fs.writeFileSync(path.join(d.dir, 'third.txt'), 'the third secret\n')
    expect(await tenant('update', '-u', ID, '-f', 'third.txt')).toMatch(/^3 [\s\S]*PCR 15/)
    expect(await tenant('explain', '-u', ID)).toMatch(/payload: +#5 waiting/)
    expect(fs.readFileSync(secure('decrypted_payload'), 'utf8')).toBe('the second secret\n')
  }, 60_000)

  test('it ends when it is told to', async () => {
    await endAgent('SIGTERM')
    expect(agent.exitCode).toBe(0)
  })
})

/** Ports on which somebody listens, in what the kernel says of a network. */
const listening = (table: string): number[] =>
  table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, local]) => Number.parseInt(local!.split(':')[1]!, 16))

function canUnshare(): boolean {
  try {
    execFileSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}
