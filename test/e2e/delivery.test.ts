import { execFileSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { command, Deployment, KEYLIME, type Machine } from './deployment.ts'

// The agent mounts its tmpfs, which only root can.
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('the main job, with the packaged executable', () => {
  const d = new Deployment()
  let machine: Machine
  let other: Machine
  const read = (m: Machine, file: string) => fs.readFileSync(path.join(m.secure, file), 'utf8')
  const text = (m: Machine, file: string) =>
    until(`${file} at ${m.id}`, () => (fs.existsSync(path.join(m.secure, file)) ? read(m, file) : ''), 15)
  const zero = JSON.stringify({ 15: ['0'.repeat(64)] })

  beforeAll(async () => {
    await d.start()
    machine = await d.machine()
    other = await d.machine({ KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc384', KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa' })
  })
  afterAll(() => d.stop())

  test('-f FILE: the file stands in secure/decrypted_payload, and nothing of it anywhere else', async () => {
    fs.writeFileSync(path.join(d.dir, 'secret.txt'), 'a secret file\n')
    const { code, stderr, stdout } = await d.tenant('add', '-t', '127.0.0.1', '-f', 'secret.txt', '--verify')
    expect([code, stderr + stdout]).toEqual([0, expect.stringContaining(machine.id)])
    expect(await text(machine, 'decrypted_payload')).toBe('a secret file\n')
    expect(fs.statSync(path.join(machine.secure, 'decrypted_payload')).mode & 0o777).toBe(0o600)
    expect(execFileSync('stat', ['-f', '-c', '%T', machine.secure], { encoding: 'utf8' }).trim()).toBe('tmpfs')
    expect(execFileSync('grep', ['-rl', '--exclude-dir=secure', 'a secret file', d.dir], { encoding: 'utf8' }).trim()).toBe(
      path.join(d.dir, 'secret.txt'),
    )
    expect(stderr + stdout).not.toMatch(/\x1b/)
  })

  test('--cert --include: certificates, files with their directories, and the script, once', async () => {
    const payload = d.payload({
      'autorun.sh': '#!/bin/bash\necho "running as $AGENT_UUID"\ncat sub/dir/secret.txt\necho run >> ../runs\n',
      'sub/dir/secret.txt': 'in a sub-directory\n',
    })
    const result = await d.tenant('update', '-u', machine.id, '--cert', 'ca', '--include', payload)
    expect([result.code, result.stderr]).toEqual([0, expect.any(String)])
    expect(await text(machine, 'runs')).toBe('run\n')
    expect(read(machine, 'unzipped/sub/dir/secret.txt')).toBe('in a sub-directory\n')
    const files = fs.readdirSync(path.join(machine.secure, 'unzipped'))
    const id = machine.id
    expect(files).toEqual(
      expect.arrayContaining([
        `${id}-cert.crt`,
        `${id}-private.pem`,
        `${id}-public.pem`,
        'cacert.crt',
        'cacrl.der',
        'cacrl.pem',
        'RevocationNotifier-cert.crt',
      ]),
    )
    const at = (name: string) => path.join(machine.secure, 'unzipped', name)
    execFileSync('openssl', ['verify', '-CAfile', at('cacert.crt'), at(`${id}-cert.crt`)])
    const key = createPublicKey(fs.readFileSync(at(`${id}-private.pem`))).export({ format: 'pem', type: 'spki' })
    expect(createPublicKey(fs.readFileSync(at(`${id}-cert.crt`))).export({ format: 'pem', type: 'spki' })).toBe(key)
    expect(execFileSync('openssl', ['x509', '-in', at(`${id}-cert.crt`), '-noout', '-subject'], { encoding: 'utf8' })).toContain(
      `CN = ${id}`,
    )
    await until('the script’s output in the log', () => machine.service.log().includes('in a sub-directory'))
  })

  test('an agent with P-384 keys: the steps are shown as they happen, on a pipe in plain lines', async () => {
    const { code, stdout, stderr } = await d.tenant('-t', '127.0.0.2', '--cert', 'ca', '--include', 'payload', '--tpm_policy', zero)
    expect(code).toBe(0)
    expect(stdout + stderr).not.toMatch(/\x1b/)
    expect(await text(other, 'runs')).toBe('run\n')
    expect(await d.status(other)).toMatchObject({ attestation_status: 'PASS', v: null, enc_alg: 'ecc384', sign_alg: 'ecdsa' })
  })

  test('-k alone derives the key and transports nothing; -k -p delivers what was encrypted elsewhere', async () => {
    fs.writeFileSync(path.join(d.dir, 'elsewhere.txt'), 'encrypted elsewhere\n')
    expect((await d.run('keylime', 'userdata-encrypt', 'elsewhere.txt')).code).toBe(0)
    fs.rmSync(path.join(machine.secure, 'decrypted_payload'), { force: true })
    expect((await d.tenant('update', '-u', machine.id, '-k', 'content_keys.txt', '--verify')).code).toBe(0)
    expect(fs.existsSync(path.join(machine.secure, 'decrypted_payload'))).toBe(false)
    expect((await d.tenant('update', '-u', machine.id, '-k', 'content_keys.txt', '-p', 'content_payload.txt')).code).toBe(0)
    expect(await text(machine, 'decrypted_payload')).toBe('encrypted elsewhere\n')
  })

  test('a PCR outside the policy: no V, nothing unpacked, exit code 3, and the reason in words', async () => {
    fs.rmSync(path.join(machine.secure, 'decrypted_payload'), { force: true })
    const policy = JSON.stringify({ 15: ['a'.repeat(64)] })
    const { code, stderr } = await d.tenant('update', '-u', machine.id, '-f', 'secret.txt', '--tpm_policy', policy)
    expect([code, stderr]).toEqual([3, expect.stringMatching(/PCR 15[\s\S]*aaaa/)])
    expect(fs.existsSync(path.join(machine.secure, 'decrypted_payload'))).toBe(false)
  })

  test('refusals say what failed and how to go on, with their own exit codes', async () => {
    expect((await d.tenant('add', '-u', other.id, '-f', 'secret.txt')).code).toBe(1) // there already
    expect((await d.tenant('status', '-u', 'ffffffff')).code).toBe(6)
    expect((await d.tenant('add', '-u', machine.id, '-f', 'no-such-file')).code).toBe(6)
    expect((await d.tenant('add', '-u', machine.id, '--include', 'payload')).code).toBe(2)
    fs.writeFileSync(path.join(d.dir, 'big.bin'), Buffer.alloc(2 << 20))
    const big = await d.tenant('update', '-u', machine.id, '-f', 'big.bin')
    expect([big.code, big.stderr]).toEqual([1, expect.stringMatching(/max_payload_size|larger|too large/)])
  })

  test('a TPM of an unknown maker gets nothing', async () => {
    const store = path.join(d.server, 'tpm_cert_store')
    const kept = fs.mkdtempSync(path.join(d.dir, 'store-'))
    for (const name of fs.readdirSync(store)) fs.renameSync(path.join(store, name), path.join(kept, name))
    const { code, stderr } = await d.tenant('update', '-u', machine.id, '-f', 'secret.txt')
    for (const name of fs.readdirSync(kept)) fs.renameSync(path.join(kept, name), path.join(store, name))
    expect([code, stderr]).toEqual([3, expect.stringMatching(/tpm_cert_store/)])
  })

  test('a PCR that is extended later fails the machine, and the status names it', async () => {
    await other.tpm.extendPcr(15, Buffer.alloc(32, 0xaa))
    await until(
      'the verdict',
      async () => (await d.status(other)).operational_state === 9 || (await d.status(other)).operational_state === 'Invalid Quote',
    )
    const status = await d.status(other)
    expect(status.last_event_id).toBe('pcr_validation.invalid_pcr_15')
    expect(status.failures[0].context).toMatchObject({ pcr: 15, expected: ['0'.repeat(64)] })
  })

  test('no environment variable makes the tenant trust a server of another CA', async () => {
    const otherCa = path.join(d.dir, 'ca/cacert.crt') // a CA, but not the one that made the servers' certificates
    const env = { ...d.environment, NODE_TLS_REJECT_UNAUTHORIZED: '0', KEYLIME_TENANT_TRUSTED_SERVER_CA: otherCa }
    const { code, stderr } = await command(KEYLIME, ['tenant', 'cvlist'], env, d.dir)
    expect([code, stderr]).toEqual([4, expect.stringMatching(/TLS/)])
  })

  test('upstream’s command line works the same', async () => {
    const status = await d.run('keylime_tenant', '-c', 'cvstatus', '-u', other.id)
    expect(status.code).toBe(0)
    const line = (status.stdout + status.stderr).split('\n').find((l) => l.startsWith('{'))!
    expect(Object.values(JSON.parse(line) as Record<string, { operational_state: string }>)[0]!.operational_state).toBe('Invalid Quote')
    expect((await d.run('keylime_tenant', '-c', 'delete', '-u', other.id)).code).toBe(0)
    expect((await d.run('keylime_tenant', '-c', 'cvstatus', '-u', other.id)).code).toBe(1)
  })
})
