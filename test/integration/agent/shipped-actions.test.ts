import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { findActions } from '../../../src/roles/agent/revocation/find-action.ts'
import { runAction } from '../../../src/roles/agent/revocation/run-action.ts'
import { startListener } from '../../../src/roles/ca/listen/start.ts'
import { freePorts } from '../../servers.ts'
import { authorityBed, notice, post, recordingLogger, serialsOf } from '../ca/listener-bed.ts'

const shipped = path.resolve(import.meta.dirname, '../../../docs/examples/actions')
const { logger, lines } = recordingLogger()
const main = path.resolve(import.meta.dirname, '../../../src/main.ts')
const script = process.argv[1]
let bed: Awaited<ReturnType<typeof authorityBed>>
let unzipped: string
let ssh: string

beforeEach(async () => {
  process.argv[1] = main // what the agent runs JavaScript actions with, in development
  lines.length = 0
  bed = await authorityBed({}, 2)
  unzipped = path.join(bed.dir, 'secure/unzipped')
  ssh = path.join(bed.dir, 'home/.ssh')
  fs.mkdirSync(ssh, { recursive: true })
  fs.mkdirSync(unzipped, { recursive: true })
})
afterEach(() => {
  process.argv[1] = script!
  bed.remove()
})

const event = (serial: number | undefined, type = 'revocation') => ({
  type,
  agent_id: 'x',
  meta_data: '{}',
  metadata: serial === undefined ? {} : { cert_serial: serial },
})
function run(file: string, what: object): Promise<string | undefined> {
  const name = path.parse(file).name
  for (const other of fs.readdirSync(unzipped)) if (other.startsWith('local_action')) fs.rmSync(path.join(unzipped, other))
  fs.copyFileSync(path.join(shipped, file), path.join(unzipped, file))
  fs.chmodSync(path.join(unzipped, file), 0o600)
  const { actions } = findActions({ configured: [name], directory: path.join(bed.dir, 'none'), payload: unzipped }, logger)
  const env = { ...process.env, HOME: path.join(bed.dir, 'home') }
  return runAction(actions[0]!, what as never, {
    keylimeDir: bed.dir,
    roomParents: [bed.dir],
    runAs: null,
    agentId: 'peer',
    settings: {},
    timeLimitSeconds: 20,
    env,
    logger,
  })
}

describe.each(['local_action_rm_ssh.py', 'local_action_rm_ssh.mjs'])('%s', (file) => {
  const authorized = () => fs.readFileSync(path.join(ssh, 'authorized_keys'), 'utf8')
  beforeEach(() => {
    fs.copyFileSync(bed.file('m4-cert.crt'), path.join(unzipped, 'mycert.crt'))
    fs.writeFileSync(path.join(unzipped, 'payload_id_rsa.pub'), 'ssh-ed25519 AAAAmachine1 root@one\n')
    fs.writeFileSync(
      path.join(ssh, 'authorized_keys'),
      '# admins\nssh-rsa AAAAadmin admin\nfrom="10.0.0.7" ssh-ed25519 AAAAmachine1 one\n',
      { mode: 0o600 },
    )
    for (const name of ['payload_id_rsa', 'payload_id_rsa.pub']) fs.writeFileSync(path.join(ssh, name), 'key')
  })
  test('takes the key of the revoked machine out of authorized_keys, and nothing else', async () => {
    expect(await run(file, event(3))).toBeUndefined()
    expect(authorized()).toBe('# admins\nssh-rsa AAAAadmin admin\n')
    expect(fs.statSync(path.join(ssh, 'authorized_keys')).mode & 0o777).toBe(0o600)
    expect(fs.readdirSync(ssh).toSorted()).toEqual(['authorized_keys', 'payload_id_rsa', 'payload_id_rsa.pub'])
    expect(await run(file, event(3))).toBeUndefined()
  })
  test('on the revoked machine it removes its own keys', async () => {
    expect(await run(file, event(4))).toBeUndefined()
    expect(fs.readdirSync(ssh)).toEqual(['authorized_keys'])
    expect(authorized()).toContain('AAAAmachine1')
  })
  test('does nothing for another type or without a serial', async () => {
    await run(file, event(3, 'comm_error'))
    await run(file, event(undefined))
    expect(authorized()).toContain('AAAAmachine1')
  })
})

describe.each(['local_action_update_crl.py', 'local_action_update_crl.js'])('%s', (file) => {
  async function withListener(work: (url: string) => Promise<void>): Promise<void> {
    const listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger })
    try {
      await work(`http://127.0.0.1:${listener.port}`)
    } finally {
      await listener.stop()
    }
  }
  async function delivered(): Promise<void> {
    for (const name of ['cacert.crt', 'cacrl.der', 'cacrl.pem']) fs.copyFileSync(bed.file(name), path.join(unzipped, name))
  }
  test('fetches the list that names the revoked machine; openssl verify then refuses it', async () => {
    const [port] = await freePorts(1)
    bed.remove()
    bed = await authorityBed({ KEYLIME_CA_LISTEN_PORT: String(port), KEYLIME_CA_CERT_CRL_DIST: `http://127.0.0.1:${port}/crl` }, 2)
    unzipped = path.join(bed.dir, 'secure/unzipped')
    fs.mkdirSync(unzipped, { recursive: true })
    await delivered()
    await withListener(async (url) => {
      const running = run(file, event(3)) // the agent may be told before the authority is
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect((await post(`${url}/revocation`, notice(bed.key, 3))).status).toBe(200)
      expect([await running, lines.filter((l) => /rror/.test(l))]).toEqual([undefined, []])
    })
    expect(serialsOf(unzipped)).toEqual(['3'])
    const verify = (name: string) => () =>
      execFileSync(
        'openssl',
        [
          'verify',
          '-crl_check',
          '-CAfile',
          path.join(unzipped, 'cacert.crt'),
          '-CRLfile',
          path.join(unzipped, 'cacrl.pem'),
          bed.file(name),
        ],
        { stdio: 'pipe' },
      )
    expect(verify('m3-cert.crt')).toThrow(/revoked/)
    expect(verify('m4-cert.crt')).not.toThrow()
    expect(fs.readdirSync(unzipped).filter((name) => /^\.crl|^tmp/.test(name))).toEqual([])
  })
  test('keeps the old list when the new one is not signed by its authority', async () => {
    const [port] = await freePorts(1)
    const settings = { KEYLIME_CA_LISTEN_PORT: String(port), KEYLIME_CA_CERT_CRL_DIST: `http://127.0.0.1:${port}/crl` }
    const ours = await authorityBed(settings, 1)
    for (const name of ['cacert.crt', 'cacrl.der', 'cacrl.pem']) fs.copyFileSync(ours.file(name), path.join(unzipped, name))
    bed.env['KEYLIME_CA_LISTEN_PORT'] = String(port)
    await withAuthority(bed.access, (authority) => authority.revoke(3n)) // the stranger's
    await withListener(async () => {
      expect(await run(file, event(3))).toContain('exit code 1')
    })
    expect(serialsOf(unzipped)).toEqual([])
    ours.remove()
  })
})

test('print_metadata.py prints who was revoked', async () => {
  expect(await run('print_metadata.py', event(7))).toBeUndefined()
  expect(lines.join('\n')).toContain('{"cert_serial": 7}')
})
