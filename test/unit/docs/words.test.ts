import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { PLAIN_PAGES, RULES, wordsIn } from '../../../docs/check-words.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (file: string) => fs.readFileSync(path.join(root, file), 'utf8')

test.each(PLAIN_PAGES)('%s uses none of the words that we do not use', (page) => {
  expect(wordsIn(read(page))).toEqual([])
})

test('every page of the guide is looked at', () => {
  const looked = PLAIN_PAGES.filter((page) => page.startsWith('docs/guide/')).map((page) => path.relative('docs/guide', page))
  const there = fs.readdirSync(path.join(root, 'docs/guide'), { recursive: true, encoding: 'utf8' })
  expect(looked.toSorted()).toEqual(there.filter((name) => name !== 'tasks').toSorted())
})

test('a word of the list is found with its line, and with a better one', () => {
  expect(wordsIn('# Title\n\nStart it anew.\n')).toEqual([{ line: 3, found: 'anew', better: 'again, or: from scratch' }])
})

test.each([
  ['This is no certificate.', 'is no'],
  ['Machines whose policy is none are left out.', 'is none'],
  ['Operators shall do so.', 'shall'],
  ['A key, be it RSA or ECDSA.', 'be it'],
  ['Machines of which nobody knows.', 'of which'],
  ['An agent whose key is in a TPM whose maker is unknown.', 'whose key is in a TPM whose'],
  ['Whoever has the key can sign.', 'Whoever'],
  ['It does the contrary.', 'the contrary'],
  ['It takes the place of the old one.', 'takes the place of'],
  ['A name in place of the id.', 'in place of'],
  ['It gets its payload all the same.', 'all the same'],
  ['The machines are asked on, and pass.', 'asked on'],
  ['The history shows what became of it.', 'what became of'],
  ['Everybody may read it.', 'Everybody'],
  ['The command mends it.', 'mends'],
  ['Enroll it.', 'Enroll'],
])('%s', (text, found) => {
  expect(wordsIn(text).map((finding) => finding.found)).toEqual([found])
})

test.each([
  'There is no file, there are none, and it is no longer needed.',
  'You are asked on the terminal; nobody else is.',
  'Run `keylime anew`.',
  '```\nwhoever shall\n```',
  '## A machine was installed anew\n', // pages link to it
  '[Rename](day-to-day.md#a-machine-was-installed-anew) it, then enrol it; the enrolment stays.',
])('what is English, and what is code, is left alone: %s', (text) => {
  expect(wordsIn(text)).toEqual([])
})

test('the list in CONTRIBUTING.md has the words that are looked for, and no others', () => {
  const table = read('CONTRIBUTING.md').split('| We do not write |')[1]!.split('\n\n')[0]!
  const rows = [...table.matchAll(/^\| `([^`]+)` \| ([^|]+) \|$/gm)].map((row) => [row[1], row[2]])
  expect(rows).toEqual(RULES.map(({ word, better }) => [word, better]))
})

describe('the check of `npm run lint`', () => {
  const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'words-'))
  const check = path.join(copy, 'docs/check-words.ts')
  beforeAll(() => {
    fs.cpSync(path.join(root, 'docs/check-words.ts'), check)
    for (const page of PLAIN_PAGES) fs.cpSync(path.join(root, page), path.join(copy, page))
  })
  afterAll(() => fs.rmSync(copy, { recursive: true }))
  const run = () => spawnSync(process.execPath, [check], { encoding: 'utf8' })

  test('passes the pages as they are, and names file, line and the better word where one is not plain', () => {
    expect(run()).toMatchObject({ status: 0, stderr: '' })
    const lines = read('README.md').split('\n').length
    fs.appendFileSync(path.join(copy, 'README.md'), 'It shall start.\n')
    const { status, stderr } = run()
    expect(status).toBe(1)
    expect(stderr).toContain(`README.md:${lines}: "shall" is on the list of words we do not use; write: must, should or will\n`)
    expect(stderr).toContain('hint: ')
  })
})
