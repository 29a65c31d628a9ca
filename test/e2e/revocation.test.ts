import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { freePorts, until } from '../servers.ts'
import { Deployment, type Machine, type Service, service } from './deployment.ts'

// The agent mounts its tmpfs, which only root can.
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip
const shipped = path.resolve(import.meta.dirname, '../../docs/examples/actions')

describeAsRoot('a machine that fails is cut off by the others, with the packaged executable', () => {
  const d = new Deployment()
  let one: Machine
  let two: Machine
  let authority: Service
  let url: string
  const home = path.join(d.dir, 'home2')
  const authorized = path.join(home, '.ssh/authorized_keys')
  const unzipped = (machine: Machine, name: string) => path.join(machine.secure, 'unzipped', name)
  const own = (machine: Machine, suffix: string) => unzipped(machine, `${machine.id}-${suffix}`)

  beforeAll(async () => {
    const [port] = (await freePorts(1)) as [number]
    url = `http://127.0.0.1:${port}`
    const settings = { KEYLIME_CA_LISTEN_PORT: String(port), KEYLIME_CA_CERT_CRL_DIST: `${url}/crl` }
    await d.start({
      ...settings,
      KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['agent', 'webhook']",
      KEYLIME_VERIFIER_REVOCATIONS_WEBHOOK_URL: `${url}/revocation`,
    })
    fs.mkdirSync(home)
    one = await d.machine()
    two = await d.machine({ HOME: home })
    const link = '#!/bin/bash\nln -sf "$(ls *-cert.crt | grep -v Revocation)" mycert.crt\n'
    const key = path.join(d.dir, 'key')
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-N', '', '-f', key])
    const publicKey = fs.readFileSync(`${key}.pub`, 'utf8')
    d.payload({ 'autorun.sh': link, payload_id_rsa: fs.readFileSync(key, 'utf8'), 'payload_id_rsa.pub': publicKey }, 'payload1')
    const action = (name: string) => fs.readFileSync(path.join(shipped, name), 'utf8')
    const letIn = `mkdir -p -m 700 ${home}/.ssh\ncat payload_id_rsa.pub >> ${authorized}\n`
    d.payload(
      {
        'autorun.sh': link + letIn,
        'payload_id_rsa.pub': publicKey,
        action_list: 'local_action_rm_ssh,local_action_update_crl\n',
        'local_action_rm_ssh.mjs': action('local_action_rm_ssh.mjs'),
        'local_action_update_crl.py': action('local_action_update_crl.py'),
      },
      'payload2',
    )
  })
  afterAll(async () => {
    await authority?.kill()
    await d.stop()
  })

  test('both machines get their certificates; the second lets the first in', async () => {
    const policy = JSON.stringify({ 15: ['0'.repeat(64)] })
    expect(await d.tenant('-t', '127.0.0.1', '--cert', '--include', 'payload1', '--tpm_policy', policy)).toMatchObject({ code: 0 })
    expect(await d.tenant('-t', '127.0.0.2', '--cert', '--include', 'payload2')).toMatchObject({ code: 0 })
    await until('the key at machine 2', () => fs.existsSync(authorized) && fs.readFileSync(authorized, 'utf8').includes('ssh-rsa'), 20)
    await until('the link at machine 1', () => fs.existsSync(unzipped(one, 'mycert.crt')), 20)
    authority = service(['ca', '-d', 'listen'], d.environment)
    await until('the authority', () => authority.log().includes('serves its revocation list'))
  })

  test('mutual TLS between them with the delivered certificates', async () => {
    expect(await handshake()).toContain('Verify return code: 0')
  })

  test('PCR 15 of the first is extended: its key, its certificate and its handshake are refused', async () => {
    await one.tpm.extendPcr(15, Buffer.alloc(32, 0x11))
    await until('the key to be gone', () => fs.readFileSync(authorized, 'utf8') === '', 20)
    const serial = execFileSync('openssl', ['x509', '-in', own(one, 'cert.crt'), '-noout', '-serial'], { encoding: 'utf8' })
      .trim()
      .split('=')[1]!
    const list = path.join(d.dir, 'list.der')
    await until(
      'the serial in the list',
      async () => {
        fs.writeFileSync(list, Buffer.from(await (await fetch(`${url}/crl`)).arrayBuffer()))
        return execFileSync('openssl', ['crl', '-inform', 'DER', '-in', list, '-noout', '-text'], { encoding: 'utf8' }).includes(
          `Serial Number: ${serial}`,
        )
      },
      20,
    )
    await until('the list at machine 2', () => two.service.log().includes('local_action_update_crl is done'), 20)
    expect(verify(one)).toThrow(/certificate revoked/)
    expect(verify(two)).not.toThrow()
    expect(await handshake()).toMatch(/alert certificate revoked|alert number 44/)
  })

  const verify = (machine: Machine) => () =>
    execFileSync(
      'openssl',
      ['verify', '-crl_check', '-CAfile', unzipped(two, 'cacert.crt'), '-CRLfile', unzipped(two, 'cacrl.pem'), own(machine, 'cert.crt')],
      {
        stdio: 'pipe',
      },
    )

  /** Machine 1 as client of machine 2, as the guide shows it. @returns what the client says. */
  async function handshake(): Promise<string> {
    const [port] = (await freePorts(1)) as [number]
    const identity = (machine: Machine) => [
      '-cert',
      own(machine, 'cert.crt'),
      '-key',
      own(machine, 'private.pem'),
      '-CAfile',
      unzipped(machine, 'cacert.crt'),
    ]
    const check = ['-Verify', '1', '-verify_return_error', '-crl_check', '-CRL', unzipped(two, 'cacrl.pem')]
    const server = spawn('openssl', ['s_server', '-accept', String(port), ...identity(two), ...check], { stdio: ['pipe', 'pipe', 'pipe'] })
    let said = ''
    server.stdout.on('data', (chunk) => (said += chunk))
    server.stderr.resume()
    await until('the server', () => said.includes('ACCEPT'))
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...identity(one), '-verify_return_error'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let text = ''
    for (const stream of [client.stdout, client.stderr]) stream.on('data', (chunk) => (text += chunk))
    const closed = once(client, 'close')
    await until('the handshake', () => text.includes('Verify return code') || text.includes('alert') || client.exitCode !== null)
    setTimeout(() => client.stdin.end('Q\n'), 300)
    await closed
    server.kill()
    return text
  }
})
