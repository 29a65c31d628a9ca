import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { commandTree } from '../../../src/command-tree.ts'
import { CONFIGURED_ROLES, TABLES } from '../../../src/config/tables.ts'
import { allCommands } from '../../../src/core/cli/command-tree.ts'
import { keylime as inProcess } from '../../command-line.ts'
import { PROGRAM } from '../../program.ts'
import { walk } from '../../thorough.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-man-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const run = (file: string, args: string[], env: NodeJS.ProcessEnv = process.env) => {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', env })
  return { status, stdout, stderr }
}
const keylime = (...args: string[]) => inProcess(args)
const installed = await keylime('man', '--install', path.join(dir, 'man'))
const files = fs.readdirSync(path.join(dir, 'man'), { recursive: true, encoding: 'utf8' }).filter((file) => /\.\d$/.test(file))
const tree = await commandTree()
/** What a reader sees, without the breaks of lines and the marks of bold. */
const seen = (file: string) =>
  run('mandoc', ['-T', 'utf8', '-O', 'width=1000', path.join(dir, 'man', file)])
    .stdout.replace(/.\u0008/g, '')
    .replaceAll('\u00a0', ' ')

test('there is a page for the program, each role, each tool and each configuration file', async () => {
  expect(installed).toMatchObject({ status: 0, stderr: expect.stringMatching(/^\d+ pages written below/) })
  const expected = [
    'man1/keylime.1',
    ...tree.words.map(({ name }) => `man1/keylime-${name}.1`),
    ...CONFIGURED_ROLES.map((role) => `man5/keylime-${role}.conf.5`),
  ]
  expect(files.toSorted()).toEqual(expected.toSorted())
  expect((await keylime('man', '--list')).stdout.trimEnd().split('\n').toSorted()).toEqual(
    expected.map((file) => path.basename(file)).toSorted(),
  )
})

test('mandoc, groff and man have no complaint about any page', () => {
  const pages = files.map((file) => path.join(dir, 'man', file))
  const silent = { status: 0, stderr: '' }
  expect(run('mandoc', ['-T', 'lint', ...pages])).toEqual({ ...silent, stdout: '' })
  for (const page of pages) expect([page, run('groff', ['-man', '-ww', '-z', '-Tascii', page]).stderr]).toEqual([page, ''])
  expect(run('man', ['--warnings', '-l', ...pages])).toMatchObject(silent)
})

test.each(tree.words.map((node) => [node.name, node] as const))(
  'keylime-%s(1) has each word, each option and each example',
  (name, node) => {
    const text = seen(`man1/keylime-${name}.1`)
    const expected = allCommands(node).flatMap((command) => [
      ...command.words.map((word) => word.name),
      ...command.options.flatMap(({ flags }) => flags),
      ...command.examples.map(([example]) => example.replaceAll('…', '...')),
    ])
    expect(expected.filter((word) => !text.includes(word))).toEqual([])
  },
)

test.each(CONFIGURED_ROLES)('keylime-%s.conf(5) has each option with its default and its variable', (role) => {
  const text = seen(`man5/keylime-${role}.conf.5`)
  const missing = Object.keys(TABLES[role]).filter(
    (name) => !new RegExp(`^ +${name} = .+\\n +.*KEYLIME_${role.toUpperCase()}_`, 'm').test(text),
  )
  expect(missing).toEqual([])
})

walk('a page is found by several names, and one that is not there is asked about', async () => {
  const page = await keylime('man', 'tenant')
  expect(page).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\.TH KEYLIME-TENANT 1 /), stderr: '' })
  for (const name of ['keylime-tenant', 'keylime-tenant.1']) expect(await keylime('man', name)).toEqual(page)
  expect((await keylime('man', 'tenant.conf')).stdout).toMatch(/^\.TH KEYLIME-TENANT\.CONF 5 /)
  expect((await keylime('man')).stdout).toMatch(/^\.TH KEYLIME 1 /)
  expect(await keylime('man', 'tennant')).toMatchObject({
    status: 6,
    stderr: expect.stringContaining('did you mean `keylime man tenant`?'),
  })
  expect(await keylime('man', '--install', '/dev/null/x')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('cannot make /dev/null/x'),
  })
})

walk('on a terminal man(1) shows it, and leaves nothing', () => {
  const before = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('keylime-man-'))
  const shown = run('script', ['-qec', `${process.execPath} ${PROGRAM} man completion`, '/dev/null'], {
    ...process.env,
    MANPAGER: 'cat',
    TERM: 'dumb',
  })
  expect(shown.stdout.replace(/\u001b\[[\d;]*m|.\u0008/g, '')).toMatch(/KEYLIME-COMPLETION\(1\)[\s\S]*NAME/)
  expect(shown.stdout).not.toContain('.TH')
  expect(fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('keylime-man-'))).toEqual(before)
})
