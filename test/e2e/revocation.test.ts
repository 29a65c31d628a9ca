import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { freePorts, until } from '../servers.ts'
import { Deployment, type Machine, type Service, service } from './deployment.ts'

// The agent mounts its tmpfs, which only root can.
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip
const guide = path.resolve(import.meta.dirname, '../../docs/guide/revocation-and-actions.md')
const shipped = path.resolve(import.meta.dirname, '../../docs/examples/actions')

describeAsRoot('a machine that fails is cut off by the others, with the packaged executable', () => {
  const d = new Deployment()
  let one: Machine
  let two: Machine
  let authority: Service
  let url: string
  let nginx: Awaited<ReturnType<typeof startNginx>>
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
    const reload = ['nginx', ...nginxArguments, '-s', 'reload']
    const action = (name: string) => fs.readFileSync(path.join(shipped, name), 'utf8')
    const letIn = `mkdir -p -m 700 ${home}/.ssh\ncat payload_id_rsa.pub >> ${authorized}\n`
    d.payload(
      {
        'autorun.sh': link + letIn,
        'payload_id_rsa.pub': publicKey,
        action_list: 'local_action_rm_ssh,local_action_update_crl\n',
        'local_action_rm_ssh.mjs': action('local_action_rm_ssh.mjs'),
        'local_action_update_crl.py': action('local_action_update_crl.py').replace(
          'RELOAD_COMMAND = []',
          `RELOAD_COMMAND = ${JSON.stringify(reload)}`,
        ),
      },
      'payload2',
    )
  })
  afterAll(async () => {
    await nginx?.stop()
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

  test('nginx, configured as the guide says, lets the first machine in, and nobody without a certificate', async () => {
    nginx = await startNginx()
    expect(await nginx.ask()).toEqual({ status: 200, text: 'let in\n' })
    expect(await nginx.ask((option) => !['--cert', '--key'].includes(option))).toMatchObject({ status: 400 })
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

  test('the action has nginx read the new list: the first machine is shut out there too', async () => {
    await until('the refusal', async () => (await nginx.ask()).status === 400, 10)
    expect((await nginx.ask()).text).toContain('The SSL certificate error')
    expect(nginx.log()).toContain('certificate revoked')
  })

  const nginxArguments = ['-p', path.join(d.dir, 'nginx'), '-c', 'nginx.conf', '-e', 'error.log']

  /** The real nginx with the guide's text, in a directory of its own: only paths, id and port are put in. Asked by the guide's own command. */
  async function startNginx() {
    const text = fs.readFileSync(guide, 'utf8')
    const block = /```\n# nginx\n([\s\S]+?)```/.exec(text)![1]!
    const curl = /^curl (.+) https:.*$/m.exec(text)![1]!.split(' ')
    const [port] = (await freePorts(1)) as [number]
    const dir = path.join(d.dir, 'nginx')
    fs.mkdirSync(dir)
    const server = block
      .replaceAll('/var/lib/keylime/secure/unzipped', unzipped(two, ''))
      .replace('ID-', `${two.id}-`)
      .replace('8443', String(port))
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${kind};`).join(' ')
    fs.writeFileSync(
      path.join(dir, 'nginx.conf'),
      `daemon off; user root; pid nginx.pid; error_log error.log info; events {} http { access_log off; ${paths}\n${server}}\n`,
    )
    const child = spawn('nginx', nginxArguments, { stdio: 'ignore' })
    const exited = once(child, 'exit')
    const log = () => fs.readFileSync(path.join(dir, 'error.log'), 'utf8')
    await until('nginx', () => fs.existsSync(path.join(dir, 'nginx.pid')) || (child.exitCode !== null && Promise.reject(new Error(log()))))
    return {
      log,
      async ask(keep: (option: string) => boolean = () => true) {
        const words = curl.map((word) => word.replace('ID-', `${one.id}-`).replace('10.0.0.8', '127.0.0.1'))
        const kept = words.filter((word, i) => keep(word) && (word.startsWith('--') || keep(words[i - 1]!)))
        const asked = spawn('curl', ['-sS', '-w', '%{http_code}', ...kept, `https://${two.id}:${port}/`], { cwd: unzipped(one, '') })
        let out = ''
        asked.stdout.on('data', (chunk) => (out += chunk))
        await once(asked, 'close')
        return { status: Number(out.slice(-3)), text: out.slice(0, -3) }
      },
      async stop() {
        child.kill()
        await exited
      },
    }
  }

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
