import { spawnSync } from 'node:child_process'
import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseRuntimePolicy } from '../../../src/core/ima/runtime-policy.ts'
import { plainPolicy } from '../../../src/core/ima/signed-policy.ts'
import { imaVector, runtimePolicy } from '../../ima.ts'
import { PROGRAM } from '../../program.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const machine = (file: string) => path.join(root, 'test/vectors/machines/secure-boot-ima-sig', file)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-policy-upstream-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const at = (name: string) => path.join(dir, name)
const file = (name: string, text: string | Buffer) => {
  fs.writeFileSync(at(name), text)
  return at(name)
}
/** A program by upstream's name. */
function run(argv0: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    argv0,
    encoding: 'utf8',
    cwd: dir,
  })
  return { status, stdout, stderr }
}
const DIGEST = 'a'.repeat(64)
const list = file('list.txt', `${DIGEST}  /opt/a b\nfnord\n`)
const plain = file('plain.json', runtimePolicy({ digests: { '/usr/bin/ü': [DIGEST] } }))
const publicOf = (key: string) => createPublicKey(fs.readFileSync(at(key))).export({ type: 'spki', format: 'pem' })

test('keylime-policy create runtime prints one line that the verifier takes; members of the log come only when they are asked for', () => {
  const { status, stdout } = run('keylime-policy', 'create', 'runtime', '-m', machine('ima.txt'), '--ignored', '.x')
  expect([status, stdout.includes('\n')]).toEqual([0, false])
  expect(parseRuntimePolicy(stdout).digests.size).toBeGreaterThan(10)
  expect(JSON.parse(stdout).ima.ignored_keyrings).toEqual(['.x'])
  const log = file('keys.txt', imaVector('keyring.txt'))
  expect(JSON.parse(run('keylime-policy', 'create', 'runtime', '-m', log).stdout).keyrings).toEqual({})
  expect(JSON.parse(run('keylime-policy', 'create', 'runtime', '-k', '-m', log).stdout).keyrings).toHaveProperty(['.ima'])
  expect(run('keylime-policy', 'create', 'runtime', '-a', list, '--show-legacy-allowlist').stdout).toBe(`${DIGEST}  /opt/a_b\n`)
})

test('keylime-policy create measured-boot prints one line as Python does, and nothing for a log that is none or without Secure Boot', () => {
  const log = machine('uefi.bin')
  const { status, stdout } = run('keylime-policy', 'create', 'measured-boot', '-e', log)
  expect([status, stdout.startsWith('{"has_secureboot": true, "scrtm_and_bios": [{"scrtm": '), stdout.endsWith('"}]}')]).toEqual([
    0,
    true,
    true,
  ])
  const without = log.replace('secure-boot-ima-sig', 'no-secure-boot')
  expect(run('keylime-policy', 'create', 'measured-boot', '-e', without, '-o', at('none.json'))).toMatchObject({ status: 1, stdout: '' })
  expect(fs.existsSync(at('none.json'))).toBe(false)
  expect(run('keylime-policy', 'create', 'measured-boot', '-i', '--eventlog-file', without, '-o', at('plain-boot.json'))).toMatchObject({
    status: 0,
  })
  expect(fs.readFileSync(at('plain-boot.json'), 'utf8')).toContain('"has_secureboot": false')
  expect(run('keylime-policy', 'create', 'measured-boot', '-e', list)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('is not a boot log'),
  })
  expect(run('keylime-policy', 'create', 'measured-boot')).toMatchObject({ status: 2 })
})

test('keylime-policy sign runtime makes a key, signs with both back ends, and what it signs is verified', () => {
  expect(run('keylime-policy', 'sign', 'runtime', '-r', plain, '-o', at('ecdsa.json'))).toMatchObject({ status: 0, stdout: '' })
  expect(fs.statSync(at('keylime-ecdsa-key.pem')).mode & 0o777).toBe(0o600)
  const key = publicOf('keylime-ecdsa-key.pem')
  const envelope = fs.readFileSync(at('ecdsa.json'), 'utf8')
  expect(JSON.parse(envelope).signatures[0].keyid).toBe(createHash('sha256').update(key).digest('hex'))
  expect(plainPolicy(envelope, { key: key as string, required: true })).toContain('{"/usr/bin/\\u00fc": [')
  const x509 = ['-b', 'X509', '-k', at('keylime-ecdsa-key.pem'), '-c', at('cert.pem')]
  const { status, stdout } = run('keylime-policy', 'sign', 'runtime', '-r', plain, ...x509)
  expect([status, stdout.endsWith('}\n')]).toEqual([0, true])
  const certificate = fs.readFileSync(at('cert.pem'), 'utf8')
  expect(Buffer.from(JSON.parse(stdout).signatures[0].keyid, 'base64').toString()).toBe(certificate)
  expect(plainPolicy(stdout, { key: certificate, required: true })).toContain('/usr/bin/')
  expect(new X509Certificate(certificate)).toMatchObject({ subject: 'CN=dsse_lib', subjectAltName: 'DNS:dsse_lib', ca: false })
})

test('keylime_sign_runtime_policy signs the bytes as they are', () => {
  expect(run('keylime_sign_runtime_policy', '-r', plain, '-o', at('signed.json'))).toMatchObject({ status: 0 })
  const key = publicOf('keylime-ecdsa-key') as string
  expect(plainPolicy(fs.readFileSync(at('signed.json'), 'utf8'), { key, required: true })).toBe(fs.readFileSync(plain, 'utf8'))
})

test('keylime_convert_runtime_policy and keylime_create_policy make policies of lists', () => {
  const { status, stdout } = run(
    'keylime_convert_runtime_policy',
    '-a',
    list,
    '-o',
    at('converted.json'),
    '-v',
    path.join(root, 'test/vectors/ima/rsa2048pub.pem'),
  )
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^list\.txt is not JSON-formatted.*\nLine #1 in Allowlist/)])
  const policy = parseRuntimePolicy(fs.readFileSync(at('converted.json'), 'utf8'))
  expect([[...policy.digests], policy.keys.size]).toEqual([[['/opt/a_b', [DIGEST]]], 1])
  const created = run('keylime_create_policy', '-a', list, '-B', plain)
  expect(Object.keys(JSON.parse(created.stdout).digests)).toEqual(['/opt/a_b', '/usr/bin/ü'])
  const none = run('keylime_create_policy', '--no-hashes', '-m', machine('ima.txt'), '-i', '.x')
  expect(JSON.parse(none.stdout)).toMatchObject({ digests: {}, ima: { ignored_keyrings: ['.x'] } })
})

test.each<[string, string[], number]>([
  ['keylime-policy', [], 0],
  ['keylime-policy', ['create'], 2],
  ['keylime-policy', ['create', 'fnord'], 2],
  ['keylime-policy', ['create', 'runtime', '--fnord'], 2],
  ['keylime-policy', ['create', 'runtime', '--algo', 'md5'], 2],
  ['keylime-policy', ['create', 'runtime', '--max-workers', '0'], 2],
  ['keylime-policy', ['create', 'runtime', '-m', '/nowhere'], 1],
  ['keylime-policy', ['create', 'runtime', '--help'], 0],
  ['keylime-policy', ['sign', 'runtime'], 2],
  ['keylime-policy', ['sign', 'runtime', '-r', 'plain.json', '-b', 'pgp'], 2],
  ['keylime-policy', ['sign', 'runtime', '-r', 'plain.json', '-b', 'x509'], 1],
  ['keylime-policy', ['sign', 'runtime', '-r', 'list.txt'], 1],
  ['keylime_convert_runtime_policy', [], 0],
  ['keylime_convert_runtime_policy', ['-o', 'x'], 1],
  ['keylime_convert_runtime_policy', ['-a', 'x', '-r', 'x', '-o', 'x'], 1],
  ['keylime_convert_runtime_policy', ['-a', 'list.txt'], 1],
  ['keylime_convert_runtime_policy', ['-a', 'plain.json', '-o', 'x'], 1],
  ['keylime_convert_runtime_policy', ['-v'], 2],
  ['keylime_sign_runtime_policy', [], 0],
  ['keylime_sign_runtime_policy', ['-r', 'plain.json'], 1],
  ['keylime_create_policy', ['-m', '/nowhere'], 1],
])('%s %j exits with %d', (program, args, status) => {
  expect(run(program, ...args).status).toBe(status)
})
