import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { until } from '../servers.ts'
import { Deployment, type Machine } from './deployment.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

/**
 * The example of the guide "Secure payloads", on two machines and with a real sshd: the first gets an SSH key, the second lets it in; when the
 * first fails its attestation, an action on the second shuts it out. Homes are temporary directories.
 */
describeAsRoot('the worked example: SSH keys that are taken back', () => {
  const d = new Deployment()
  let first: Machine
  let second: Machine
  let sshd: ChildProcess
  let port: number
  const home = (n: number) => path.join(d.dir, `home${n}`)
  const login = () => {
    const options = [
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      'BatchMode=yes',
      '-o',
      'ConnectTimeout=5',
    ]
    return spawnSync(
      'ssh',
      ['-i', path.join(home(1), '.ssh/payload_id_rsa'), '-p', String(port), ...options, 'root@127.0.0.1', 'echo let in'],
      { encoding: 'utf8' },
    )
  }

  beforeAll(async () => {
    await d.start()
    fs.mkdirSync(home(1))
    fs.mkdirSync(home(2))
    first = await d.machine({ HOME: home(1) })
    second = await d.machine({ HOME: home(2) })
    ;({ sshd, port } = await startSshd(d.dir, path.join(home(2), '.ssh/authorized_keys')))
  })
  afterAll(async () => {
    sshd?.kill()
    await d.stop()
  })

  test('the first machine gets the key pair, and its autorun.sh puts it into place', async () => {
    const payload = d.payload({
      'autorun.sh':
        '#!/bin/bash\n# this makes it easier to find our own certificate\nln -s "$(ls *-cert.crt | grep -v Revocation)" mycert.crt\nmkdir -p ~/.ssh/\ncp payload_id_rsa* ~/.ssh/\nchmod 600 ~/.ssh/payload_id_rsa*\n',
    })
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-N', '', '-f', path.join(d.dir, payload, 'payload_id_rsa')])
    const zero = JSON.stringify({ 15: ['0'.repeat(64)] })
    const { code, stderr } = await d.tenant('-t', '127.0.0.1', '--cert', 'myca', '--include', payload, '--tpm_policy', zero)
    expect([code, stderr]).toEqual([0, expect.any(String)])
    await until('the key', () => fs.existsSync(path.join(home(1), '.ssh/payload_id_rsa.pub')))
    expect(fs.readlinkSync(path.join(first.secure, 'unzipped/mycert.crt'))).toBe(`${first.id}-cert.crt`)
  })

  test('the second machine lets that key in, and knows how to shut it out', async () => {
    const payload = d.payload(
      {
        'autorun.sh':
          '#!/bin/bash\nmkdir -p ~/.ssh && chmod 700 ~/.ssh\ncat payload_id_rsa.pub >> ~/.ssh/authorized_keys\nchmod 600 ~/.ssh/authorized_keys\n',
        'payload_id_rsa.pub': fs.readFileSync(path.join(d.dir, 'payload/payload_id_rsa.pub'), 'utf8'),
        action_list: 'local_action_shut_out',
        'local_action_shut_out.py': [
          'import os',
          'import keylime.secure_mount as secure_mount',
          'from keylime import keylime_logging',
          'logger = keylime_logging.init_logging("shut_out")',
          '',
          'async def execute(event):',
          '    if event["type"] != "revocation":',
          '        return',
          '    serial = event["metadata"].get("cert_serial")',
          '    if serial is None:',
          '        logger.error("unsupported revocation message: %s", event)',
          '        return',
          '    with open(os.path.join(secure_mount.mount(), "unzipped", "payload_id_rsa.pub")) as f:',
          '        key = f.read().split()[1]',
          '    file = os.path.expanduser("~/.ssh/authorized_keys")',
          '    with open(file) as f:',
          '        kept = [line for line in f if key not in line]',
          '    with open(file + ".new", "w") as f:',
          '        f.writelines(kept)',
          '    os.rename(file + ".new", file)',
          '    logger.info("certificate %s was revoked: its key is shut out", serial)',
          '',
        ].join('\n'),
      },
      'payload2',
    )
    const { code, stderr } = await d.tenant('-t', '127.0.0.2', '--cert', 'myca', '--include', payload)
    expect([code, stderr]).toEqual([0, expect.any(String)])
    await until('the key', () => fs.existsSync(path.join(home(2), '.ssh/authorized_keys')) && login().status === 0, 20)
    expect(login().stdout).toBe('let in\n')
  })

  test('an action can be tried without a revocation', async () => {
    const file = path.join(d.dir, 'payload2/local_action_shut_out.py')
    const event = JSON.stringify({ type: 'other' })
    const { code, stderr } = await d.run('keylime', 'agent', '--try-action', file, '--event', event)
    expect([code, stderr]).toEqual([0, ''])
    expect((await d.run('keylime', 'agent', '--try-action', file, '--event', '{')).code).toBe(2)
    expect((await d.run('keylime', 'agent', '--try-action', '/nowhere')).code).toBe(6)
  })

  test('when the first machine fails, the second shuts it out by itself', async () => {
    await first.tpm.extendPcr(15, Buffer.alloc(32, 0xaa))
    await until('the action', () => second.service.log().includes('its key is shut out'), 20)
    const refused = login()
    expect([refused.status, refused.stderr]).toEqual([255, expect.stringContaining('Permission denied')])
    expect((await d.status(first)).last_event_id).toBe('pcr_validation.invalid_pcr_15')
    expect(await d.status(second)).toMatchObject({ attestation_status: 'PASS' })
    const { revocations } = JSON.parse((await d.tenant('revocations', '--json')).stdout.trim().split('\n').at(-1)!)
    expect(revocations[0]).toMatchObject({
      agent_id: first.id,
      type: 'revocation',
      pending: [],
      told: expect.arrayContaining([expect.objectContaining({ target: `agent:${second.id}` })]),
    })
    expect((await d.tenant('revocations')).stdout).toContain(first.id)
  })
})

async function startSshd(dir: string, authorizedKeys: string): Promise<{ sshd: ChildProcess; port: number }> {
  const port = await freePort()
  const key = path.join(dir, 'host_key')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  fs.mkdirSync('/run/sshd', { recursive: true })
  const settings = {
    Port: port,
    ListenAddress: '127.0.0.1',
    HostKey: key,
    AuthorizedKeysFile: authorizedKeys,
    PidFile: 'none',
    UsePAM: 'no',
    StrictModes: 'no',
    PermitRootLogin: 'yes',
    PasswordAuthentication: 'no',
  }
  const config = path.join(dir, 'sshd_config')
  fs.writeFileSync(
    config,
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  )
  const sshd = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: 'ignore' })
  await until('sshd', () => spawnSync('ssh-keyscan', ['-p', String(port), '127.0.0.1'], { encoding: 'utf8' }).stdout !== '')
  return { sshd, port }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
