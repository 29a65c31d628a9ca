import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseRuntimePolicy } from '../../../src/core/ima/runtime-policy.ts'
import { lintBootPolicy, lintTpmPolicy } from '../../../src/core/policy/lint-pcr-policy.ts'
import { lintPolicy } from '../../../src/core/policy/lint-policy.ts'
import { type CreateOptions, createdText, createRuntimePolicy, legacyListText } from '../../../src/tools/policy/create-runtime.ts'
import { testPolicies } from '../../../src/tools/policy/test-policy.ts'
import { imaLine, imaVector, runtimePolicy } from '../../ima.ts'

const machine = (file: string) => path.resolve(import.meta.dirname, '../../vectors/machines/secure-boot-ima-ng', file)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-policy-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string | Buffer) => {
  fs.writeFileSync(path.join(dir, name), text)
  return path.join(dir, name)
}
const notes: string[] = []
const create = async (options: Partial<CreateOptions>) =>
  createdText(await createRuntimePolicy(options, { tell: (note) => void notes.push(note), progress: () => undefined }), 0)
const [LOG, PCRS, BOOT] = [machine('ima.txt'), machine('pcrs.txt'), machine('uefi.bin')]

test('a policy made of the log of a real machine accepts that machine, in both banks', async () => {
  const runtime = file('made.json', await create({ log: LOG }))
  for (const bank of ['sha1', 'sha256']) expect(await testPolicies({ runtimePolicy: runtime, log: LOG, pcrs: PCRS, bank })).toEqual([])
})

test('every failure is named, with the change that would accept it', async () => {
  const policy = JSON.parse(await create({ log: LOG })) as { digests: Record<string, string[]> }
  const known = policy.digests['/usr/bin/sh']!
  delete policy.digests['/usr/bin/sh']
  const runtimePolicy = file('less.json', JSON.stringify(policy))
  const failures = await testPolicies({ runtimePolicy, log: LOG, pcrs: PCRS, bank: 'sha256' })
  expect(failures).toMatchObject([
    { eventId: 'ima.validation.ima-ng.not_in_allowlist', context: { path: '/usr/bin/sh', accept: { digests: { '/usr/bin/sh': known } } } },
  ])
})

test('the boot log of the machine gives boot_aggregate; static PCRs are judged too', async () => {
  const policy = JSON.parse(await create({ log: LOG })) as { digests: Record<string, string[]> }
  delete policy.digests['boot_aggregate']
  const runtimePolicy = file('no-aggregate.json', JSON.stringify(policy))
  const options = { runtimePolicy, log: LOG, pcrs: PCRS, bank: 'sha256' }
  expect((await testPolicies(options)).map((f) => f.eventId)).toEqual(['ima.validation.ima-ng.not_in_allowlist'])
  expect(await testPolicies({ ...options, eventLog: BOOT })).toEqual([])
  const tpmPolicy = JSON.stringify({ 23: 'f'.repeat(64) })
  expect((await testPolicies({ pcrs: PCRS, bank: 'sha256', tpmPolicy })).map((f) => f.eventId)).toEqual(['pcr_validation.invalid_pcr_23'])
})

test('allow lists, base policies, excludes and keyrings come together', async () => {
  const allowlist = file('allow.txt', `${'A'.repeat(64)}  /opt/a b\nno digest here\n${'c'.repeat(64)} %keyring:.ima\n\n`)
  const basePolicy = file(
    'base.json',
    runtimePolicy({ digests: { '/opt/old': ['d'.repeat(64)], '/var/log/x': ['e'.repeat(64)] }, excludes: ['/tmp/'] }),
  )
  const excludeList = file('excludes.txt', '# logs\n/var/log/\n\n')
  const policy = JSON.parse(await create({ allowlist, basePolicy, excludeList, ignoredKeyrings: ['.evm'] }))
  expect(policy).toMatchObject({
    meta: { version: 1, generator: 3, timestamp: '1970-01-01T00:00:00.000Z' },
    digests: { '/opt/a_b': ['a'.repeat(64)], '/opt/old': ['d'.repeat(64)] },
    excludes: ['/tmp/', '/var/log/'],
    keyrings: { '.ima': ['c'.repeat(64)] },
    ima: { ignored_keyrings: ['.evm'], log_hash_alg: 'sha1' },
  })
  expect(policy.digests).not.toHaveProperty(['/var/log/x'])
  expect(notes.at(-1)).toMatch(/allow\.txt: 1 lines .* line 2$/)
})

test('measured keys and buffers of a log get their own places', async () => {
  const policy = JSON.parse(await create({ log: file('keys.txt', imaVector('keyring.txt')) }))
  expect(Object.keys(policy.keyrings)).toEqual(['.ima'])
})

test('a file system is hashed by the paths its kernel will see, links and volatile folders left out', async () => {
  const root = path.join(dir, 'root')
  for (const folder of ['usr/bin', 'proc', 'usr/proc']) fs.mkdirSync(path.join(root, folder), { recursive: true })
  for (const name of ['usr/bin/a b', 'proc/x', 'usr/proc/y']) fs.writeFileSync(path.join(root, name), name)
  fs.symlinkSync('/etc/passwd', path.join(root, 'usr/bin/link'))
  const { digests } = JSON.parse(await create({ rootfs: root }))
  const sha256 = (text: string) => [createHash('sha256').update(text).digest('hex')]
  expect(digests).toEqual({ '/usr/bin/a_b': sha256('usr/bin/a b'), '/usr/proc/y': sha256('usr/proc/y') })
})

test('directories can be left out of a file system, named as below it or as here', async () => {
  const root = path.join(dir, 'skipping')
  for (const folder of ['usr/a', 'usr/b', 'usr/c']) fs.mkdirSync(path.join(root, folder), { recursive: true })
  for (const name of ['usr/a/x', 'usr/b/x', 'usr/c/x']) fs.writeFileSync(path.join(root, name), name)
  const { digests } = JSON.parse(await create({ rootfs: root, skipPath: `/usr/a,${root}/usr/b`, hash: 'sha384' }))
  expect(digests).toEqual({ '/usr/c/x': [createHash('sha384').update('usr/c/x').digest('hex')] })
})

test('files are hashed with the algorithm of the lists, and lists that disagree are refused', async () => {
  const root = path.join(dir, 'algorithms')
  fs.mkdirSync(root)
  fs.writeFileSync(path.join(root, 'x'), 'x')
  const allowlist = file('sha1.txt', `${'a'.repeat(40)}  /opt/a\n`)
  const { digests } = JSON.parse(await create({ rootfs: root, allowlist }))
  expect(digests['/x']).toEqual([createHash('sha1').update('x').digest('hex')])
  await expect(create({ allowlist, log: LOG })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/40 digits \(sha1\).*sha256/),
  })
  await expect(create({ allowlist, hash: 'sha512' })).rejects.toMatchObject({ code: 'conflict' })
  await expect(create({ allowlist: file('odd.txt', `${'a'.repeat(50)}  /opt/a\n`) })).rejects.toMatchObject({ code: 'invalid_request' })
})

test('keys and buffers of a log can be left out, keys for signed files added', async () => {
  const log = file('keys2.txt', imaVector('keyring.txt'))
  expect(JSON.parse(await create({ log, keyrings: false })).keyrings).toEqual({})
  expect(JSON.parse(await create({ log, ignoredKeyrings: ['.ima'] })).keyrings).toEqual({})
  const key = path.resolve(import.meta.dirname, '../../vectors/ima/rsa2048pub.pem')
  expect(parseRuntimePolicy(await create({ log, verificationKeys: [key] })).keys.size).toBe(1)
  await expect(create({ log, verificationKeys: [log] })).rejects.toMatchObject({ code: 'invalid_request' })
})

test('an allow list of old has boot_aggregate first', async () => {
  const allowlist = file('legacy.txt', `${'a'.repeat(64)}  /opt/a\n${'b'.repeat(64)}  boot_aggregate\n`)
  const parts = await createRuntimePolicy({ allowlist }, { tell: () => undefined, progress: () => undefined })
  expect(legacyListText(parts)).toBe(`${'b'.repeat(64)}  boot_aggregate\n${'a'.repeat(64)}  /opt/a\n`)
})

test('a boot_aggregate of zeros, of a machine whose kernel found no TPM, is kept; a violation is not', async () => {
  const lines = [imaLine(`ima-ng sha1:${'0'.repeat(40)} boot_aggregate`), `10 ${'0'.repeat(40)} ima-ng sha1:${'0'.repeat(40)} /var/log/x`]
  const { digests } = JSON.parse(await create({ log: file('zeros.txt', lines.join('\n')) }))
  expect(digests).toEqual({ boot_aggregate: ['0'.repeat(40)] })
})

test('what is missing or wrong is said', async () => {
  await expect(create({})).rejects.toMatchObject({ code: 'usage' })
  await expect(create({ allowlist: file('none.txt', 'fnord\n') })).rejects.toThrow(/no line is a digest/)
  await expect(create({ log: '/nowhere' })).rejects.toMatchObject({ code: 'not_found' })
  await expect(create({ rootfs: '/nowhere' })).rejects.toMatchObject({ code: 'not_found' })
  await expect(create({ log: LOG, excludeList: file('bad.txt', '(') })).rejects.toThrow(/^excludes\[0\]: /)
  await expect(testPolicies({ bank: 'sha256' })).rejects.toMatchObject({ code: 'usage' })
  await expect(testPolicies({ bank: 'md5', pcrs: PCRS })).rejects.toMatchObject({ code: 'usage' })
  await expect(testPolicies({ bank: 'sha512', pcrs: PCRS, tpmPolicy: '{}' })).rejects.toMatchObject({ code: 'invalid_request' })
})

test.each<[string, Record<string, unknown>, string[]]>([
  ['a careful policy', { excludes: ['/var/log/', '/tmp/.*\\.log$'] }, []],
  ['an empty exclude', { excludes: ['/var/log/', ''] }, ['excludes[1]']],
  ['an exclude of everything', { excludes: ['/'] }, ['excludes[0]']],
  ['an exclude of programs', { excludes: ['/usr/bin'] }, ['excludes[0]']],
  ['an exclude that goes on', { excludes: ['/var/log'] }, ['excludes[0]']],
  ['an exclude that matches no path', { excludes: ['log'] }, ['excludes[0]']],
  ['no boot_aggregate', { digests: { '/x': ['b'.repeat(64)] } }, ['digests']],
  ['SHA-1 digests', { digests: { boot_aggregate: ['b'.repeat(40)] } }, ['digests']],
  ['an exclude of a place where all may write', { excludes: ['/var/tmp/'] }, ['excludes[0]']],
  ['an empty policy', { digests: {} }, ['digests']],
  ['an excluded boot_aggregate', { digests: { '/x': ['b'.repeat(64)] }, excludes: ['boot_aggregate'] }, ['excludes']],
  ['all keyrings ignored', { ima: { ignored_keyrings: ['*'], log_hash_alg: 'sha1', dm_policy: null } }, ['ima.ignored_keyrings']],
  ['a blank in a path', { digests: { boot_aggregate: ['b'.repeat(64)], '/a b': ['b'.repeat(64)] } }, ['digests["/a b"]']],
  ['a boot_aggregate of zeros', { digests: { boot_aggregate: ['0'.repeat(64)] } }, ['digests.boot_aggregate']],
  ['a path that is none', { digests: { boot_aggregate: ['b'.repeat(64)], usr: ['b'.repeat(64)] } }, ['digests["usr"]']],
  ['a digest of odd length', { digests: { boot_aggregate: ['b'.repeat(50)] } }, ['digests["boot_aggregate"]']],
  ['a path where all may write', { digests: { boot_aggregate: ['b'.repeat(64)], '/tmp/x': ['b'.repeat(64)] } }, ['digests["/tmp/x"]']],
  ['excludes of names that are no paths', { excludes: ['memfd', 'kexec-cmdline', 'SYSV0'] }, []],
])('lint of %s', (_name, changes, places) => {
  const text = runtimePolicy(changes)
  expect(lintPolicy(parseRuntimePolicy(text)).map((w) => w.path)).toEqual(places)
})

test.each<[string, Record<string, unknown>, string[]]>([
  ['a careful policy', { 7: ['a'.repeat(64)] }, []],
  ['no PCR', {}, ['tpm_policy']],
  ['a PCR of zeros', { 7: ['0'.repeat(64)] }, ['["7"]']],
  ['SHA-1 values', { 7: ['a'.repeat(40)] }, ['["7"]']],
  ['a PCR that is not in the mask', { 7: ['a'.repeat(64)], mask: '0x1' }, ['["7"]']],
  ['a PCR without a value', { 7: [] }, ['["7"]']],
  ['PCRs that anybody sets', { 18: ['a'.repeat(64)], 23: ['a'.repeat(64)] }, ['["18"]', '["23"]']],
])('lint of static PCRs: %s', (_name, policy, places) => {
  expect(lintTpmPolicy(JSON.stringify(policy)).map((warning) => warning.path)).toEqual(places)
})

test.each<[string, Record<string, unknown>, string[]]>([
  ['a careful state', { has_secureboot: true, scrtm_and_bios: [{}], kernels: [{ kernel_cmdline: 'root=/dev/sda1' }] }, []],
  ['a state that demands nothing', { has_secureboot: true }, ['mb_policy']],
  ['no Secure Boot', { has_secureboot: false, scrtm_and_bios: [{}], kernels: [{}] }, ['has_secureboot']],
  [
    'any command line',
    { scrtm_and_bios: [{}], kernels: [{ kernel_cmdline: '.*' }, { kernel_cmdline: 'root=.*' }] },
    ['kernels[0].kernel_cmdline', 'kernels[1].kernel_cmdline'],
  ],
  ['empty lists', { scrtm_and_bios: [], kernels: [] }, ['scrtm_and_bios', 'kernels']],
])('lint of a reference state: %s', (_name, state, places) => {
  expect(lintBootPolicy(state).map((warning) => warning.path)).toEqual(places)
})
