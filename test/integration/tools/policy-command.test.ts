import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { PROGRAM } from '../../program.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const machine = (file: string) => path.join(root, 'test/vectors/machines/secure-boot-ima-sig', file)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-policy-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const policy = path.join(dir, 'policy.json')
function keylime(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, 'policy', ...args], { encoding: 'utf8' })
  return { status, stdout, stderr }
}
const test3 = ['--log', machine('ima.txt'), '--pcrs', machine('pcrs.txt')]

test('a policy is made, found good and judged by, with the exit codes of a script', () => {
  expect(keylime('create', 'runtime', '--log', machine('ima.txt'), '-o', policy)).toEqual({
    status: 0,
    stdout: '',
    stderr: expect.stringMatching(/policy\.json: \d+ names, 0 excludes\n$/),
  })
  expect(keylime('lint', '--runtime-policy', policy)).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(keylime('test', '--runtime-policy', policy, ...test3)).toEqual({ status: 0, stdout: 'accepted\n', stderr: '' })
  expect(keylime('test', '--runtime-policy', policy, ...test3, '--fail-on-violations')).toMatchObject({
    status: 3,
    stdout: expect.stringMatching(/^refused: 1 reason\nima\.validation\.tomtou: .*system\.journal/),
  })
  fs.writeFileSync(policy, fs.readFileSync(policy, 'utf8').replace('"/usr/bin/sh"', '"/usr/bin/other"'))
  const { status, stdout } = keylime('test', '--runtime-policy', policy, ...test3, '--json')
  expect(status).toBe(3)
  expect(JSON.parse(stdout)).toMatchObject({ accepted: false, failures: [{ context: { path: '/usr/bin/sh', line: 3 } }] })
})
test('the making of a policy is told to programs a line an event, and the file has the policy', () => {
  const made = path.join(dir, 'made.json')
  const [list, none] = [path.join(dir, 'list.txt'), path.join(dir, 'none')]
  fs.writeFileSync(list, `${'a'.repeat(64)}  /opt/tool\nno digest\n`)
  const { status, stdout, stderr } = keylime('create', 'runtime', '--log', machine('ima.txt'), '--rpm-package', none, '--json', '-o', made)
  const violation = { event: 'note', text: expect.stringMatching(/ima\.txt: 1 line: no digest, .*system\.journal", line \d+\)$/) }
  expect([
    status,
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    fs.existsSync(made),
  ]).toEqual([6, [violation], false])
  expect(stderr).toContain('cannot read')
  const told = keylime('create', 'runtime', '--log', machine('ima.txt'), '--allowlist', list, '--json', '-o', made)
  const lines = told.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect([told.status, told.stderr]).toEqual([0, ''])
  expect(lines.at(-1)).toEqual({
    result: 'policy',
    output: made,
    names: Object.keys(JSON.parse(fs.readFileSync(made, 'utf8')).digests).length,
    excludes: 0,
  })
  expect(lines.slice(0, -1)).toEqual([
    { event: 'note', text: `${list}: 1 lines cannot be read and are left out, the first is line 2` },
    violation,
  ])
  expect(keylime('create', 'runtime', '--log', machine('ima.txt'), '--json')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: expect.stringContaining('--json needs --output FILE'),
  })
})
test('a reference state is made, by upstream’s options too, and judged by; nothing is written without Secure Boot', () => {
  const boot = path.join(dir, 'boot.json')
  const log = machine('uefi.bin')
  expect(keylime('create', 'measured-boot', '--eventlog-file', log, '-o', boot)).toEqual({
    status: 0,
    stdout: '',
    stderr: `${boot} written\n`,
  })
  expect(keylime('create', 'measured-boot', '-e', log, '-o', '-')).toMatchObject({ status: 0, stdout: fs.readFileSync(boot, 'utf8') })
  const judged = ['--mb-policy', boot, '--event-log', log, '--pcrs', machine('pcrs.txt')]
  expect(keylime('test', ...judged)).toEqual({ status: 0, stdout: 'accepted\n', stderr: '' })
  fs.writeFileSync(boot, fs.readFileSync(boot, 'utf8').replace('ima_policy=tcb', 'ima_policy=no'))
  expect(keylime('test', ...judged)).toMatchObject({
    status: 3,
    stdout: expect.stringMatching(/policy_example: kernel command line \(event 41, PCR 8\)/),
  })
  const plain = log.replace('secure-boot-ima-sig', 'no-secure-boot')
  const unwritten = path.join(dir, 'unwritten.json')
  expect(keylime('create', 'measured-boot', '-e', plain, '-o', unwritten)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('--without-secureboot (-i)'),
  })
  expect(fs.existsSync(unwritten)).toBe(false)
  expect(keylime('create', 'measured-boot', '-i', '-e', plain)).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('"vmlinuz_plain_sha256"'),
  })
})
test('a policy is signed and verified; another key opens nothing', () => {
  const pairs = [generateKeyPairSync('ec', { namedCurve: 'P-256' }), generateKeyPairSync('ec', { namedCurve: 'P-256' })]
  const [key, pub, other] = ['key.pem', 'pub.pem', 'other.pem'].map((name) => path.join(dir, name)) as [string, string, string]
  fs.writeFileSync(key, pairs[0]!.privateKey.export({ type: 'sec1', format: 'pem' }))
  for (const [i, file] of [pub, other].entries()) fs.writeFileSync(file, pairs[i]!.publicKey.export({ type: 'spki', format: 'pem' }))
  const signed = path.join(dir, 'signed.json')
  expect(keylime('sign', '--runtime-policy', policy, '--key', key, '-o', signed)).toMatchObject({ status: 0 })
  expect(keylime('verify', '--runtime-policy', signed, '--key', pub)).toMatchObject({ status: 0, stdout: fs.readFileSync(policy, 'utf8') })
  expect(keylime('verify', '--runtime-policy', signed, '--key', other)).toMatchObject({ status: 5, stdout: '' })
  expect(keylime('verify', '--runtime-policy', policy, '--key', pub)).toMatchObject({ status: 1, stdout: '' })
})
test('mistakes are told with a hint', () => {
  expect(keylime('create', '--log', 'x')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('keylime policy create runtime'),
  })
  expect(keylime('test')).toMatchObject({ status: 2, stderr: expect.stringContaining('tpm2_pcrread') })
  expect(keylime('lint', '--runtime-policy', '/nowhere')).toMatchObject({ status: 6 })
  expect(keylime('brew')).toMatchObject({ status: 2 })
})
test('policies are compared, changed and converted, with the exit codes of a script', () => {
  const digest = 'a'.repeat(64)
  const [list, base, add, result] = ['list.txt', 'base.json', 'add.json', 'result.json'].map((name) => path.join(dir, name)) as [
    string,
    string,
    string,
    string,
  ]
  fs.writeFileSync(list, `${digest}  /opt/tool\n`)
  expect(keylime('convert', list, '-o', base)).toEqual({
    status: 0,
    stdout: '',
    stderr: `${list} is a flat allow list\n${base} written\n`,
  })
  expect(keylime('diff', base, '--log', machine('ima.txt'), '--patch', add)).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(/^line 1: .*boot_aggregate/),
  })
  expect(keylime('merge', base, add, '-o', result)).toEqual({ status: 0, stdout: '', stderr: `${result} written\n` })
  expect(keylime('diff', result, '--log', machine('ima.txt'))).toMatchObject({ status: 0, stdout: '' })
  expect(keylime('diff', result, result)).toMatchObject({ status: 0, stdout: '' })
  const { status, stdout } = keylime('diff', base, result, '--json')
  expect([status, JSON.parse(stdout).differences.length > 10]).toEqual([1, true])
  expect(keylime('diff', base)).toMatchObject({ status: 2 })
  expect(keylime('merge', base)).toMatchObject({ status: 2 })
  expect(keylime('convert')).toMatchObject({ status: 2 })
  expect(keylime('merge', base, list, '-o', result)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('list.txt: is not valid JSON'),
  })
})
test('a key is made for signing, for its owner alone, and never in place of another', () => {
  const [key, signed] = ['made.pem', 'made.json'].map((name) => path.join(dir, name)) as [string, string]
  const sign = ['sign', '-r', path.join(dir, 'base.json'), '--keypath', key, '-o', signed]
  expect(keylime(...sign)).toMatchObject({ status: 0, stdout: '' })
  expect(fs.statSync(key).mode & 0o777).toBe(0o600)
  expect(keylime('verify', '-r', signed, '-k', `${key}.pub`)).toMatchObject({ status: 0 })
  expect(keylime(...sign)).toMatchObject({ status: 1, stderr: expect.stringContaining('already exists') })
  expect(keylime(...sign, '--key', key)).toMatchObject({ status: 2 })
  expect(keylime('sign', '-r', path.join(dir, 'base.json'))).toMatchObject({ status: 2 })
  expect(keylime('sign', '-r', path.join(dir, 'base.json'), '-k', key, '-b', 'x509')).toMatchObject({ status: 2 })
  expect(keylime('merge', signed, path.join(dir, 'add.json'))).toMatchObject({
    status: 5,
    stderr: expect.stringContaining('hint: merge before signing'),
  })
})
test('a reader that stops early is no bug, and the change is written all the same', () => {
  const add = path.join(dir, 'early.json')
  const command = `"$0" "${PROGRAM}" policy diff "${path.join(dir, 'base.json')}" --log "${machine('ima.txt')}" --patch "${add}" | head -1`
  const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath], { encoding: 'utf8' })
  expect([stdout.split('\n').length, stderr]).toEqual([2, ''])
  expect(Object.keys(JSON.parse(fs.readFileSync(add, 'utf8')))).toEqual(['digests'])
})

test.each([
  ['sign', ['-r', 'FILE', '--keypath', path.join(dir, 'unused.pem')]],
  ['lint', ['FILE']],
  ['diff', ['FILE', '--log', machine('ima.txt')]],
  ['convert', ['FILE']],
  ['test', ['--runtime-policy', 'FILE', ...test3]],
])('a policy that cannot be read is named by `%s`, with what to do', (word, args) => {
  const bad = path.join(dir, 'bad.json')
  fs.writeFileSync(bad, JSON.stringify({ meta: { version: 1 }, digests: {} }))
  const { status, stderr } = keylime(word, ...args.map((arg) => (arg === 'FILE' ? bad : arg)))
  expect([status, stderr]).toEqual([1, expect.stringMatching(/^error: \S+bad\.json: release: is missing\nhint: `keylime policy create`/)])
  expect(fs.existsSync(path.join(dir, 'unused.pem'))).toBe(false)
})
