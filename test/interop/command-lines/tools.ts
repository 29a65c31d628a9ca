import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { KEYLIME } from '../../e2e/deployment.ts'
import { imaVector, runtimePolicy } from '../../ima.ts'
import { machineFile } from '../../machines.ts'
import { writeServiceConfig } from '../config-files.ts'
import { type Finished, runCommand } from '../processes.ts'
import type { Outcome } from '../results.ts'
import { CURRENT, cacheDirectory, programOf } from '../upstream.ts'
import { compare } from './answer.ts'
import { type Compared, judgeAnswers } from './compare-tenants.ts'

/** Tools that need no server: each call with the same files, then its status and everything that it wrote compared. */
export async function compareTools(): Promise<Outcome> {
  const dir = path.join(cacheDirectory(), 'runs/tools')
  fs.rmSync(dir, { recursive: true, force: true })
  const compared: Compared[] = []
  for (const side of ['theirs', 'ours']) prepare(path.join(dir, side))
  for (const [program, ...args] of CALLS) {
    const [theirs, ours] = [await call('theirs', dir, program!, args), await call('ours', dir, program!, args)]
    const differences = [...compare('exit status', theirs.exit, ours.exit), ...compare('wrote', theirs.wrote, ours.wrote)]
    compared.push({ call: [program, ...args].join(' '), differences })
  }
  return judgeAnswers(compared)
}

const POLICY = ['keylime-policy', 'create', 'runtime']
const CALLS: readonly (readonly string[])[] = [
  ['keylime_ca', '-c', 'init', '-d', 'ca'],
  ['keylime_ca', '-c', 'create', '-n', 'machine', '-d', 'ca'],
  ['keylime_ca', '-c', 'pkg', '-n', 'machine', '-d', 'ca'],
  ['keylime_ca', '-c', 'revoke', '-n', 'machine', '-d', 'ca'],
  ['keylime_ca', '-c', 'nonsense', '-d', 'ca'],
  ['keylime_ca'],
  ['keylime_userdata_encrypt', 'list.txt'],
  ['keylime_userdata_encrypt', 'none'],
  ['keylime_userdata_encrypt'],
  [...POLICY, '-m', 'ima.txt', '-o', 'created.json'],
  [...POLICY, '-m', 'ima.txt', '-k', '-b', '-o', 'created.json'],
  [...POLICY, '-m', 'keyring.txt', '-k', '-o', 'created.json'],
  [...POLICY, '-m', 'keyring.txt', '-k', '--ignored-keyrings', '.ima', '-o', 'created.json'],
  [...POLICY, '-a', 'list.txt', '-o', 'created.json'],
  [...POLICY, '-a', 'list.txt', '-e', 'exclude.txt', '-o', 'created.json'],
  [...POLICY, '-p', 'policy.json', '-a', 'list.txt', '-o', 'created.json'],
  [...POLICY, '-m', 'ima.txt', '--add-ima-signature-verification-key', 'rsa.pem', '-o', 'created.json'],
  [...POLICY, '--rootfs', 'root', '--algo', 'sha256', '-o', 'created.json'],
  [...POLICY, '--rootfs', 'root', '-s', '/skipped', '-o', 'created.json'],
  [...POLICY, '-m', 'none', '-o', 'created.json'],
  [...POLICY, '-p', 'broken.json', '-a', 'list.txt', '-o', 'created.json'],
  [...POLICY, '--nonsense'],
  [...POLICY, '-o', 'created.json'],
  ['keylime-policy', 'create', 'measured-boot', '-e', 'boot.bin', '-o', 'state.json'],
  ['keylime-policy', 'create', 'measured-boot', '-e', 'plain.bin', '-o', 'state.json'],
  ['keylime-policy', 'create', 'measured-boot', '-i', '-e', 'plain.bin', '-o', 'state.json'],
  ['keylime-policy', 'create', 'measured-boot', '-e', 'list.txt', '-o', 'state.json'],
  ['keylime-policy', 'create'],
  ['keylime_create_policy', '-m', 'ima.txt', '-o', 'created.json'],
  ['keylime_create_policy', '-B', 'policy.json', '-a', 'list.txt', '-o', 'created.json'],
  ['keylime_convert_runtime_policy', '-a', 'list.txt', '-o', 'created.json'],
  ['keylime_convert_runtime_policy', '-a', 'list.txt', '-e', 'exclude.txt', '-o', 'created.json'],
  ['keylime_convert_runtime_policy', '-a', 'none', '-o', 'created.json'],
]

function prepare(dir: string): void {
  const [boot] = machineFile('secure-boot-ima-ng', 'ima.txt').toString('utf8').split('\n')
  const files: Record<string, string | Buffer> = {
    'list.txt': `${'a'.repeat(64)}  /usr/bin/a\n${'b'.repeat(64)}  /usr/bin/b c\n`,
    'exclude.txt': '/tmp/.*\n# a comment\n/var/(log|tmp)/.*\n',
    'policy.json': runtimePolicy({ digests: { '/usr/bin/old': ['c'.repeat(64)] } }),
    'broken.json': '{',
    'ima.txt': machineFile('secure-boot-ima-ng', 'ima.txt'),
    'keyring.txt': `${boot}\n${imaVector('keyring.txt')}`,
    'rsa.pem': imaVector('rsa2048pub.pem'),
    'boot.bin': machineFile('secure-boot-ima-ng', 'uefi.bin'),
    'plain.bin': machineFile('no-secure-boot', 'uefi.bin'),
    'root/usr/bin/a': 'a',
    'root/etc/b': 'b',
    'root/skipped/c': 'c',
  }
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true })
    fs.writeFileSync(path.join(dir, name), content)
  }
}

async function call(side: 'ours' | 'theirs', root: string, program: string, args: readonly string[]) {
  const dir = path.join(root, side)
  for (const file of ['created.json', 'state.json']) fs.rmSync(path.join(dir, file), { force: true })
  const before = new Map(filesOf(dir).map((file) => [file, fs.statSync(path.join(dir, file)).mtimeMs]))
  const config = writeServiceConfig(path.join(root, 'etc'), { verifier: 1, registrar: 2, registrarTls: 3, zeromq: null }) // nothing is asked
  const env = { PATH: process.env['PATH'] ?? '', HOME: dir, KEYLIME_DIR: dir, LANG: 'C.UTF-8', ...config }
  const file = side === 'ours' ? path.join(path.dirname(KEYLIME), program) : programOf(CURRENT, program)
  const { code }: Finished = await runCommand([file, ...args], { env, cwd: dir })
  const written = filesOf(dir).filter((name) => before.get(name) !== fs.statSync(path.join(dir, name)).mtimeMs)
  return { exit: code, wrote: Object.fromEntries(written.map((name) => [name, contentOf(path.join(dir, name))])) }
}

const filesOf = (dir: string) =>
  fs
    .readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)))
    .sort()

/** JSON as it reads, certificates by what they say, everything else only by being there. */
function contentOf(file: string): unknown {
  if (file.endsWith('.json')) return JSON.parse(fs.readFileSync(file, 'utf8'))
  if (!/\.(crt|pem)$/.test(file) || !fs.readFileSync(file, 'utf8').includes('BEGIN CERTIFICATE')) return 'a file'
  const { subject, issuer, ca, keyUsage } = new X509Certificate(fs.readFileSync(file))
  return { subject, issuer, ca, keyUsage }
}
