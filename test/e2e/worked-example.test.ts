import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { freePorts, until } from '../servers.ts'
import { command, Deployment, KEYLIME, type Machine, type Service, service } from './deployment.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

/**
 * The example of the guide "Secure payloads", on two machines and with a real sshd: the first gets an SSH key, the second lets it in; when the
 * first fails its attestation, an action on the second shuts it out, and the authority revokes its certificate. Homes are temporary directories.
 */
describeAsRoot('the worked example: SSH keys that are taken back', () => {
  const d = new Deployment()
  let first: Machine
  let second: Machine
  let sshd: ChildProcess
  let port: number
  let authority: Service
  let crlUrl: string
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
    const [crlPort, zeromqPort] = (await freePorts(2)) as [number, number]
    crlUrl = `http://127.0.0.1:${crlPort}/crl`
    await d.start({
      KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent', 'zeromq']",
      KEYLIME_VERIFIER_REVOCATIONS_ZMQ_PORT: String(zeromqPort),
      KEYLIME_CA_LISTEN_PORT: String(crlPort),
      KEYLIME_CA_CERT_CRL_DIST: crlUrl,
      KEYLIME_CA_REVOCATION_NOTIFICATION_IP: '127.0.0.1',
      KEYLIME_CA_REVOCATION_NOTIFICATION_PORT: String(zeromqPort),
    })
    fs.mkdirSync(home(1))
    fs.mkdirSync(home(2))
    first = await d.machine({ HOME: home(1) })
    second = await d.machine({
      HOME: home(2),
      KEYLIME_AGENT_ENABLE_REVOCATION_NOTIFICATIONS: 'true',
      KEYLIME_AGENT_REVOCATION_NOTIFICATION_PORT: String(zeromqPort),
    })
    ;({ sshd, port } = await startSshd(d.dir, path.join(home(2), '.ssh/authorized_keys')))
  })
  afterAll(async () => {
    sshd?.kill()
    await authority?.kill()
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

  test('the authority listens on the directory that the tenant made', async () => {
    authority = service(['ca', 'listen', '-d', path.join(d.dir, 'myca')], d.environment)
    await until('the authority', () => authority.log().includes('also taken over ZeroMQ'))
    expect(verifiesCertificateOf(first)).toBe(true)
  })

  test('an action can be tried without a revocation', async () => {
    const file = path.join(d.dir, 'payload2/local_action_shut_out.py')
    const event = JSON.stringify({ type: 'other' })
    const { code, stderr } = await d.run('keylime', 'agent', '--try-action', file, '--event', event)
    expect([code, stderr]).toEqual([0, ''])
    expect((await d.run('keylime', 'agent', '--try-action', file, '--event', '{')).code).toBe(2)
    expect((await d.run('keylime', 'agent', '--try-action', '/nowhere')).code).toBe(6)
    const elsewhere = await command(KEYLIME, ['agent', '--try-action', file, '--event', event], { KEYLIME_DIR: '/nowhere' })
    expect([elsewhere.code, elsewhere.stderr]).toEqual([
      1,
      expect.stringMatching(/nothing can be written .*\/nowhere[\s\S]*hint: create keylime_dir/),
    ])
  })

  test('when the first machine fails, the second shuts it out by itself, once, however often it is told', async () => {
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
      told: expect.arrayContaining([`agent:${second.id}`, 'zeromq'].map((target) => expect.objectContaining({ target }))),
    })
    expect((await d.tenant('revocations')).stdout).toContain(first.id)
  })

  test('the authority has revoked its certificate on the word of the verifier: the list says so, and openssl refuses it', async () => {
    const list = path.join(d.dir, 'list.der')
    const serial = execFileSync('openssl', ['x509', '-in', certificateOf(first), '-noout', '-serial'], { encoding: 'utf8' })
      .trim()
      .slice(7)
    const listed = async () => {
      fs.writeFileSync(list, Buffer.from(await (await fetch(crlUrl)).arrayBuffer()))
      return execFileSync('openssl', ['crl', '-inform', 'DER', '-in', list, '-noout', '-text'], { encoding: 'utf8' })
    }
    await until('the serial in the list', async () => (await listed()).includes(`Serial Number: ${serial}`), 20)
    expect([verifiesCertificateOf(first), verifiesCertificateOf(second)]).toEqual([false, true])
    expect(second.service.log()).toContain('subscribed to tcp://127.0.0.1')
    expect(second.service.log().match(/its key is shut out/g)).toHaveLength(1)
  })

  const certificateOf = (machine: Machine) => path.join(machine.secure, 'unzipped', `${machine.id}-cert.crt`)
  function verifiesCertificateOf(machine: Machine): boolean {
    const ca = (name: string) => path.join(d.dir, 'myca', name)
    const { stdout, stderr } = spawnSync(
      'openssl',
      ['verify', '-crl_check', '-CAfile', ca('cacert.crt'), '-CRLfile', ca('cacrl.pem'), certificateOf(machine)],
      { encoding: 'utf8' },
    )
    if (!/: OK|certificate revoked/.test(stdout + stderr)) throw new Error(stdout + stderr)
    return stdout.includes(': OK')
  }
})

async function startSshd(dir: string, authorizedKeys: string): Promise<{ sshd: ChildProcess; port: number }> {
  const [port] = (await freePorts(1)) as [number]
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
