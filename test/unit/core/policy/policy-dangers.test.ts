import { buildDigestTable } from '../../../../src/core/ima/build-digest-table.ts'
import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { bootDangers, dangerText, runtimeDangers } from '../../../../src/core/policy/policy-dangers.ts'
import { runtimePolicy } from '../../../ima.ts'
import { walk } from '../../../thorough.ts'

const dangersOf = (changes: Record<string, unknown>) => runtimeDangers(parseRuntimePolicy(runtimePolicy(changes)))

test.each<[string, string[], string[]]>([
  ['nothing of careful excludes and of odd ones', ['/var/log/', '/var/lib', 'log', '/tmp/.*\\.log$'], []],
  ['an exclude that is not anchored and matches everything', ['/var/log/', '.*foo|/'], ['excludes[1]']],
  ['the empty text', [''], ['excludes[0]']],
  ['programs, and a place where everybody may write', ['/usr/bin', '/dev/shm/'], ['excludes[0]', 'excludes[1]']],
])('of excludes it tells %s', (_name, excludes, places) => {
  expect(dangersOf({ excludes }).map(({ path }) => path)).toEqual(places)
})

test('thousands of dangerous excludes make twenty warnings of bounded length', () => {
  const dangers = dangersOf({ excludes: Array.from({ length: 500 }, (_, i) => `/usr/bin/.*${'|x'.repeat(100)}${i}`) })
  expect(dangers).toHaveLength(20)
  for (const { message } of dangers) expect(message.length).toBeLessThan(600)
  expect(dangerText(dangers)).toMatch(/^excludes\[0\]: .*\(and 19 more\)$/)
})

walk('a million digests cost nothing', () => {
  const names = Array.from({ length: 1_000_000 }, (_, i) => `/tmp/${i}`)
  const digest = ['b'.repeat(64)]
  const policy = {
    ...parseRuntimePolicy(runtimePolicy({ excludes: ['/'] })),
    digests: buildDigestTable(names, Array(names.length).fill(digest)),
  }
  const before = process.cpuUsage()
  expect(runtimeDangers(policy)).toHaveLength(1)
  expect(process.cpuUsage(before).user).toBeLessThan(500_000)
})

test('a reference state that demands nothing, or that nobody compares, is a danger', () => {
  const paths = (state: object, name: 'example' | 'accept-all' | 'reject-all') =>
    bootDangers(JSON.stringify(state), name).map(({ path }) => path)
  const open = { has_secureboot: true, scrtm_and_bios: [{}], kernels: [{ kernel_cmdline: '.*' }, { kernel_cmdline: 'quiet.*' }] }
  expect(paths(open, 'example')).toEqual(['kernels[0].kernel_cmdline', 'kernels[1].kernel_cmdline'])
  expect(paths({ has_secureboot: false }, 'example')).toEqual(['mb_policy'])
  expect(paths(open, 'accept-all')).toEqual(['mb_policy'])
  expect(paths(open, 'reject-all')).toEqual([])
  expect(paths({ anything: 1 }, 'accept-all')).toEqual([])
  expect(paths({}, 'example')).toEqual(['mb_policy'])
  for (const text of ['', 'null']) expect(bootDangers(text, 'example')).toEqual([])
})

test.each(['{}', '{ }', '{\n}\n'])('a measured boot policy of %j is told to judge nothing, however it is written', (text) =>
  expect(bootDangers(text, 'accept-all')).toMatchObject([{ path: 'mb_policy', message: expect.stringContaining('judges nothing') }]),
)
