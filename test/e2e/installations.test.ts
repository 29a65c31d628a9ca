import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { command, Deployment, KEYLIME, type Machine } from './deployment.ts'

// The agent mounts its tmpfs, which only root can.
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip
const ZERO = JSON.stringify({ 15: ['0'.repeat(64)] })

/** One life: a package is delivered to two machines, one fails, and the other is told. */
async function life(d: Deployment, [broken, peer]: readonly [Machine, Machine]): Promise<void> {
  const payload = d.payload({ action_list: 'local_action_note\n', 'local_action_note.sh': '#!/bin/sh\ncp "$1" unzipped.revoked\n' })
  for (const { id } of [broken, peer]) {
    const { code, stderr } = await d.tenant('add', '-u', id, '--cert', 'ca', '--include', payload, '--tpm_policy', ZERO)
    expect([code, stderr]).toEqual([0, expect.any(String)])
  }
  expect(fs.existsSync(path.join(broken.secure, 'unzipped/cacert.crt'))).toBe(true)
  await broken.tpm.extendPcr(15, Buffer.alloc(32, 1))
  const told = await until('the action', () => fs.existsSync(path.join(peer.dir, 'unzipped.revoked')), 15)
  expect(told).toBe(true)
  expect((await d.status(broken)).last_event_id).toBe('pcr_validation.invalid_pcr_15')
  expect((await d.status(peer)).attestation_status).toBe('PASS')
}

describeAsRoot('an installation whose roles meet over IPv6', () => {
  const d = new Deployment('::1')
  let machines: [Machine, Machine]
  beforeAll(async () => {
    await d.start()
    machines = [await d.machine(), await d.machine()]
  })
  afterAll(() => d.stop())
  test('delivers, attests and revokes', () => life(d, machines))
  test('shows addresses in brackets', async () => {
    expect((await d.tenant('status', '-u', machines[1].id)).stdout).toContain(`[::1]:${machines[1].port}`)
    expect((await d.tenant('list')).stdout).toContain(`[::1]:${machines[0].port}`)
  })
})

/** A root of the company, an authority below it for this installation, and certificates of that one. All in `pki/`. */
class CompanyPki {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
    fs.mkdirSync(dir)
    this.#issue('root', ['-addext', 'basicConstraints=critical,CA:true'])
    for (const name of ['other', 'foreign']) this.#issue(name, ['-addext', 'basicConstraints=critical,CA:true'])
    this.#issue('intermediate', ['-addext', 'basicConstraints=critical,CA:true,pathlen:0'], 'root')
    for (const name of ['server', 'client']) this.#issue(name, ['-addext', 'basicConstraints=critical,CA:false'], 'intermediate')
  }

  file(name: string): string {
    return path.join(this.dir, name)
  }

  /** Several certificates in one file. @returns its path. */
  join(name: string, ...parts: string[]): string {
    fs.writeFileSync(this.file(name), parts.map((part) => fs.readFileSync(this.file(`${part}.crt`), 'utf8')).join(''))
    return this.file(name)
  }

  #issue(name: string, extensions: string[], issuer?: string): void {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', this.file(`${name}.pem`)]
    const by = issuer ? ['-CA', this.file(`${issuer}.crt`), '-CAkey', this.file(`${issuer}.pem`)] : []
    const args = [
      'req',
      '-x509',
      ...key,
      '-subj',
      `/CN=Company ${name}`,
      '-days',
      '2',
      ...extensions,
      ...by,
      '-out',
      this.file(`${name}.crt`),
    ]
    execFileSync('openssl', args, { stdio: 'pipe' })
  }
}

describeAsRoot.each([
  ['whose servers and clients bring the chain, and trust the root', { chain: ['intermediate'], trusted: ['root'] }],
  ['whose trusted file holds several authorities, one below the other', { chain: [], trusted: ['other', 'intermediate', 'root'] }],
])('an installation with certificates of an intermediate authority, %s', (_, { chain, trusted }) => {
  const d = new Deployment()
  const pki = new CompanyPki(path.join(d.dir, 'pki'))
  let machines: [Machine, Machine]
  beforeAll(async () => {
    const server = { SERVER_KEY: pki.file('server.pem'), SERVER_CERT: pki.join('server-chain.crt', 'server', ...chain) }
    const client = { CLIENT_KEY: pki.file('client.pem'), CLIENT_CERT: pki.join('client-chain.crt', 'client', ...chain) }
    const trust = pki.join('trusted.crt', ...trusted)
    const of = (role: string, settings: Record<string, string>) =>
      Object.fromEntries(Object.entries({ TLS_DIR: pki.dir, ...settings }).map(([name, value]) => [`KEYLIME_${role}_${name}`, value]))
    const lists = { TRUSTED_CLIENT_CA: `['${trust}']`, TRUSTED_SERVER_CA: `['${trust}']` }
    await d.start({
      ...of('VERIFIER', { ...server, ...client, ...lists }),
      ...of('REGISTRAR', { ...server, ...lists }),
      ...of('TENANT', { ...client, ...lists }),
    })
    const agent = { KEYLIME_AGENT_TRUSTED_CLIENT_CA: trust }
    machines = [await d.machine(agent), await d.machine(agent)]
  })
  afterAll(() => d.stop())

  test('delivers, attests and revokes', () => life(d, machines))
  test('made no certificates of its own', () => expect(fs.existsSync(path.join(d.server, 'cv_ca'))).toBe(false))
  test('knows no client of an authority that it does not trust', async () => {
    const foreign = { KEYLIME_TENANT_CLIENT_KEY: pki.file('foreign.pem'), KEYLIME_TENANT_CLIENT_CERT: pki.file('foreign.crt') }
    const { code, stderr } = await command(KEYLIME, ['tenant', 'cvlist'], { ...d.environment, ...foreign })
    expect([code, stderr]).toEqual([5, expect.stringContaining('hint: ')])
  })
})
