import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { compareLog } from '../../../src/core/ima/compare-log.ts'
import { parseRuntimePolicy } from '../../../src/core/ima/runtime-policy.ts'
import { createdText, createRuntimePolicy } from '../../../src/tools/policy/create-runtime.ts'
import { readImaList } from '../../../src/tools/policy/read-ima-list.ts'
import { evidenceFile, judgeEverywhere } from '../../evidence-vector.ts'
import { BOOT_AGGREGATE, imaLine, runtimePolicy } from '../../ima.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-real-lists-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))
const list = (name: string) => evidenceFile(`${name}.ima.txt`)
const file = (name: string, content: string | Buffer) => {
  fs.writeFileSync(path.join(dir, name), content)
  return path.join(dir, name)
}
async function made(log: string, more: Record<string, unknown> = {}) {
  const notes: string[] = []
  const parts = await createRuntimePolicy({ log, ...more }, { tell: (note) => void notes.push(note), progress: () => undefined })
  const text = createdText(parts, 0)
  return { text, policy: JSON.parse(text), notes }
}
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

const LISTS: [name: string, logHash: string, names: string[]][] = [
  ['ima-sig-cut', 'sha1', ['/usr/bin/a', '/usr/bin/b', 'boot_aggregate']],
  ['column-sha256', 'sha256', ['/usr/bin/a', 'boot_aggregate']],
  ['column-sha384', 'sha384', ['/usr/bin/a', 'boot_aggregate']],
  ['boot-aggregate-sha1', 'sha1', ['/usr/bin/a', '/usr/bin/b', 'boot_aggregate']],
  ['evm-sig', 'sha1', ['/usr/bin/a', 'boot_aggregate']],
  ['own-template', 'sha1', ['/usr/bin/a', 'boot_aggregate']],
  [
    'name-of-two-lines',
    'sha1',
    ['/usr/bin/a\nb', `/usr/bin/c\n\n10 ${'ab'.repeat(20)} ima-ng sha256:${'cd'.repeat(32)} /usr/bin/d`, '/usr/bin/e', 'boot_aggregate'],
  ],
  ['name-not-utf8', 'sha1', ['/usr/bin/café', '/usr/bin/caf\udce9', 'boot_aggregate']],
  ['kernel-hashes', 'sha1', ['/usr/bin/a', '/usr/bin/b', '/usr/bin/c', 'boot_aggregate']],
  ['all-forms', 'sha1', ['/usr/bin/a', '/usr/bin/b', '/usr/bin/c', '/usr/bin/d', 'boot_aggregate']],
]
test.each(LISTS)(
  'a policy made of the list %s has all that is in it, and tool and verifier accept the machine by it',
  async (name, logHash, names) => {
    const { text, policy, notes } = await made(list(name))
    expect([Object.keys(policy.digests).sort(), policy.ima.log_hash_alg, notes]).toEqual([names.sort(), logHash, []])
    expect(await judgeEverywhere({ list: list(name), runtime: text, pcrs: evidenceFile(`${name}.pcrs.txt`) })).toEqual({
      tool: [],
      verifier: [],
      again: [],
    })
  },
)
test.each(LISTS.filter(([name]) => name !== 'kernel-hashes'))(
  'what the policy lacks of the list %s is told by tool and verifier alike',
  async (name) => {
    const { policy } = await made(list(name))
    const [left] = Object.keys(policy.digests).filter((entry) => entry !== 'boot_aggregate')
    delete policy.digests[left!]
    const verdict = await judgeEverywhere({ list: list(name), runtime: JSON.stringify(policy), pcrs: evidenceFile(`${name}.pcrs.txt`) })
    const id = 'ima.validation.ima-ng.not_in_allowlist'
    expect(verdict).toMatchObject({ tool: [{ eventId: id, context: { path: left } }], verifier: [id], again: [id] })
  },
)

test.each<[string, (text: Buffer) => Buffer]>([
  ['gzip', (text) => zlib.gzipSync(text)],
  ['zstd', (text) => zlib.zstdCompressSync(text)],
  ['UTF-16', (text) => Buffer.concat([Buffer.from('fffe', 'hex'), Buffer.from(text.toString(), 'utf16le')])],
  ['UTF-16 of the other order', (text) => Buffer.concat([Buffer.from('feff', 'hex'), Buffer.from(text.toString(), 'utf16le').swap16()])],
  ['UTF-16 without a mark', (text) => Buffer.from(text.toString(), 'utf16le')],
  ['UTF-16 of the other order without a mark', (text) => Buffer.from(text.toString(), 'utf16le').swap16()],
  ['a byte order mark', (text) => Buffer.concat([Buffer.from('efbbbf', 'hex'), text])],
  ['CR LF', (text) => Buffer.from(text.toString().replaceAll('\n', '\r\n'))],
  ['tabs', (text) => Buffer.from(text.toString().replaceAll(' ', '\t'))],
  ['no newline at the end', (text) => text.subarray(0, -1)],
  ['the kernel’s binary form', () => fs.readFileSync(evidenceFile('all-forms.bin'))],
])('a list in %s is the list', async (what, change) => {
  const bytes = fs.readFileSync(list('all-forms'))
  expect(await readImaList(file(`${what.replaceAll(/\W/g, '')}.txt`, change(bytes)))).toBe(bytes.toString())
})
test('the binary list with template hashes of SHA-256 gives its policy', async () => {
  const { policy, notes } = await made(evidenceFile('all-forms-sha256.bin'))
  expect([Object.keys(policy.digests).length, policy.ima.log_hash_alg]).toEqual([5, 'sha256'])
  expect(notes).toEqual([expect.stringContaining('ascii_runtime_measurements')])
})
test.each<[string, Buffer, RegExp]>([
  ['a binary list that is cut off', fs.readFileSync(evidenceFile('all-forms.bin')).subarray(0, -3), /entry 5 is cut off/],
  ['a binary list of a big-endian machine', Buffer.concat([Buffer.from('0000000a', 'hex'), Buffer.alloc(60)]), /big-endian/],
  ['a binary list of nothing known', Buffer.concat([Buffer.from('0a000000', 'hex'), Buffer.alloc(60)]), /entry 1 has no template/],
  ['bytes that are no text', Buffer.from('10 ab\0cd'), /is not an IMA list/],
  ['an empty list', Buffer.alloc(0), /is empty: no kernel has such a list/],
  ['a list of empty lines', Buffer.from('\n\n'), /is empty: no kernel has such a list/],
  ['text that is no list', Buffer.from('hello\nworld\n'), /no line of it can go into a policy/],
])('%s is refused by name', (what, bytes, message) =>
  expect(made(file(`${what.replaceAll(' ', '-')}.txt`, bytes))).rejects.toThrow(message),
)

test('what of a list is not in its policy is counted, named and explained', async () => {
  const md5 = imaLine(`ima-ng md5:${'aa'.repeat(16)} /old`)
  const lines = [
    BOOT_AGGREGATE,
    md5,
    'no entry',
    `10 ${'0'.repeat(40)} ima-ng sha256:${'0'.repeat(64)} /var/log/x`,
    `10 ${'0'.repeat(40)} ima-ng sha256:${'0'.repeat(64)} /var/log/y`,
    imaLine(`ima-ng sha256:${sha256('z')} /altered`).replace('/altered', '/Altered'),
    imaLine(`ima-sig sha256:${sha256('s')} /malformed 0302`),
  ]
  const { policy, notes } = await made(file('left.txt', `${lines.join('\n')}\n`))
  expect(Object.keys(policy.digests).sort()).toEqual(['/Altered', '/malformed', 'boot_aggregate'])
  const told = (words: RegExp) => expect.stringMatching(new RegExp(`left\\.txt: ${words.source}`))
  expect(notes.sort()).toEqual(
    [
      told(/1 line: a digest of md5, with 32 digits; .*\("\/old", line 2\)$/),
      told(/1 line: not readable: it has fewer than four fields \(line 3\)$/),
      told(/2 lines: no digest, .*violation.*\(the first: "\/var\/log\/x", line 4\)$/),
      told(/1 line: a template hash that does not match the line; .*\("\/Altered", line 6\)$/),
      told(
        /1 line: refused by the very policy that is made from it \(ima\.validation\.ima_hash: the signature of NAME is malformed: it has 2 bytes, and its header alone has 9\)/,
      ),
    ].sort((a, b) => (String(a.sample ?? a) < String(b.sample ?? b) ? -1 : 1)),
  )
})
test('a file system is hashed with the algorithm of the files, not with that of an old boot_aggregate', async () => {
  const root = path.join(dir, 'root')
  fs.mkdirSync(root)
  fs.writeFileSync(path.join(root, 'x'), 'x')
  for (const more of [{}, { hash: 'sha256' }])
    expect((await made(list('boot-aggregate-sha1'), { rootfs: root, ...more })).policy.digests['/x']).toEqual([sha256('x')])
  await expect(made(list('boot-aggregate-sha1'), { hash: 'sha1' })).rejects.toMatchObject({ code: 'conflict' })
  const base = file('base.json', (await made(list('boot-aggregate-sha1'))).text)
  expect((await made(list('boot-aggregate-sha1'), { basePolicy: base, rootfs: root })).policy.digests['/x']).toEqual([sha256('x')])
})
test('a boot_aggregate of SHA-1 alone does not say how files are hashed: kernels before 5.8 have no other', async () => {
  const root = path.join(dir, 'root')
  const alone = file('alone.txt', `${imaLine(`ima-ng sha1:${'b0'.repeat(20)} boot_aggregate`)}\n`)
  const base = file('alone.json', (await made(alone)).text)
  const sources = [{ log: alone }, { basePolicy: base }, { allowlist: file('alone.sums', `${'b0'.repeat(20)}  boot_aggregate\n`) }]
  for (const source of sources)
    for (const [hash, digits] of [
      [undefined, 64],
      ['sha256', 64],
      ['sha1', 40],
    ] as const) {
      const options = { ...source, rootfs: root, ...(hash ? { hash } : {}) }
      const parts = await createRuntimePolicy(options, { tell: () => undefined, progress: () => undefined })
      expect(JSON.parse(createdText(parts, 0)).digests['/x'][0]).toHaveLength(digits)
    }
})
test('diff tells what the verifier refuses of a list, and says "no change" only where no setting accepts it', () => {
  const load =
    'dm_version=4.45.0;name=root,uuid=,major=253,minor=0,minor_count=1,num_targets=1;target_index=0,target_begin=0,target_len=8,target_name=zero;'
  const buffer = (algorithm: string, name: string, text: string) =>
    imaLine(`ima-buf ${algorithm}:${sha256(text)} ${name} ${Buffer.from(text).toString('hex')}`)
  const compared = (lines: string[], changes: Record<string, unknown> = {}) => {
    const { failures, settings, hopeless } = compareLog(parseRuntimePolicy(runtimePolicy(changes)), lines)
    return [failures.map(({ eventId }) => eventId), settings, hopeless]
  }
  const dm_policy = { version: 1, match_on: 'name', rules: {} }
  const withDm = { ima: { ignored_keyrings: [], log_hash_alg: 'sha1', dm_policy } }
  const [events, decided, bad] = compared([BOOT_AGGREGATE, buffer('sha256', 'dm_table_load', load)], withDm)
  expect([events, decided, bad]).toEqual([[expect.stringMatching(/^ima\.validation\.dm\./)], ['ima.dm_policy'], 0])
  const streebog = [BOOT_AGGREGATE, buffer('streebog256', 'kexec-cmdline', 'x')]
  expect(compared(streebog)).toEqual([['ima.validation.ima-ng.runtime_policy_hash'], ['excludes'], 0])
  expect(compared(streebog, { excludes: ['kexec-cmdline'] })).toEqual([[], [], 0])
  expect(compared([BOOT_AGGREGATE, BOOT_AGGREGATE.replace(/^10/, '11')])).toEqual([['ima.validation.ima_pcr'], [], 1])
  const file = imaLine(`ima-ng sha256:${'b0'.repeat(32)} /a`)
  expect(compared([file], { digests: { '/a': ['b0'.repeat(32)] } })).toEqual([['ima.validation.ima-ng.not_in_allowlist'], [], 1])
})
test('files cannot be hashed by an algorithm of the kernel’s that is not here, and a list with it is taken all the same', async () => {
  const streebog = file('streebog.txt', `${[BOOT_AGGREGATE, imaLine(`ima-ng streebog256:${sha256('s')} /s`)].join('\n')}\n`)
  expect((await made(streebog)).policy.digests['/s']).toEqual([sha256('s')])
  await expect(made(streebog, { rootfs: path.join(dir, 'root') })).rejects.toThrow(/algorithm that cannot hash files here \(streebog256\)/)
})
test('another log_hash_alg is a setting, and diff says so', async () => {
  const { policy } = await made(list('column-sha256'))
  policy.ima.log_hash_alg = 'sha1'
  const lines = fs.readFileSync(list('column-sha256'), 'utf8').split('\n')
  const compared = compareLog(parseRuntimePolicy(JSON.stringify(policy)), lines)
  expect(compared).toMatchObject({ logHash: 'sha256', accept: null, hopeless: 0 })
  expect(compared.failures.map(({ context }) => context.message)).toEqual([expect.stringContaining('ascii_runtime_measurements_sha256')])
  const verdict = await judgeEverywhere({
    list: list('column-sha256'),
    runtime: JSON.stringify(policy),
    pcrs: evidenceFile('column-sha256.pcrs.txt'),
  })
  expect(verdict.tool[0]).toMatchObject({ context: { log_hash_alg: 'sha256' } })
})
