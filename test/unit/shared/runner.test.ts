import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '../../..')
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-runner-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

/** Jest with our runner over these files, one after another in one process. @returns what each test became, and why a file could not be run. */
async function ran(files: Record<string, string>): Promise<Record<string, string>> {
  const place = fs.mkdtempSync(path.join(dir, 'run-'))
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files }))
    fs.writeFileSync(path.join(place, name), text)
  const shared = { testRunner: path.join(ROOT, 'test/shared/runner.mjs'), testEnvironment: path.join(ROOT, 'test/shared/environment.mjs') }
  const config = {
    ...shared,
    rootDir: place,
    testMatch: ['**/*.test.js'],
    transform: {},
    testSequencer: path.join(place, 'by-name.cjs'),
    cacheDirectory: place,
  }
  const sequencer = `const { default: Sequencer } = require('${ROOT}/node_modules/@jest/test-sequencer')
    module.exports = class extends Sequencer { sort(tests) { return [...tests].sort((a, b) => a.path.localeCompare(b.path)) } }`
  fs.writeFileSync(path.join(place, 'by-name.cjs'), sequencer)
  const output = path.join(place, 'result.json')
  const jest = ['--disable-warning=ExperimentalWarning', path.join(ROOT, 'node_modules/jest/bin/jest.js')]
  const words = [...jest, '--config', JSON.stringify(config), '--runInBand', '--ci', '--json', '--outputFile', output]
  await new Promise((done) => execFile(process.execPath, words, { cwd: place }, done)) // its status is 1 when a test fails
  const { testResults } = JSON.parse(fs.readFileSync(output, 'utf8')) as { testResults: FileResult[] }
  return Object.fromEntries(
    testResults.flatMap(({ name, message, assertionResults }) =>
      assertionResults.length === 0
        ? [[path.basename(name), message]]
        : assertionResults.map(({ title, status, failureMessages }) => [title, failureMessages[0] ?? status]),
    ),
  )
}

interface FileResult {
  readonly name: string
  readonly message: string
  readonly assertionResults: readonly { title: string; status: string; failureMessages: string[] }[]
}

test('files of one process share the modules that they import, and each has its own tests, mocks and timers', async () => {
  const file = (name: string, seen: number) => `
    import { jest } from '@jest/globals'
    import { loaded } from './counted.js'
    test('${name}', () => {
      expect([globalThis.loads, loaded]).toEqual([1, 1])
      expect([Date.now() > 1e12, Math.random() < 1]).toEqual([true, true])
      jest.useFakeTimers({ now: 5 })
      jest.spyOn(Math, 'random').mockReturnValue(2)
      expect([Date.now(), Math.random()]).toEqual([5, 2])
    })
    test('${name} fails', () => expect(${seen}).toBe(1))`
  const counted = 'globalThis.loads = (globalThis.loads ?? 0) + 1\nexport const loaded = globalThis.loads\n'
  expect(await ran({ 'counted.js': counted, 'a.test.js': file('a', 1), 'b.test.js': file('b', 2) })).toEqual({
    a: 'passed',
    'a fails': 'passed',
    b: 'passed',
    'b fails': expect.stringContaining('Expected: 1'),
  })
})

test('what a file changes of the process is put back before the next one', async () => {
  const changing = `test('changes', () => {
    process.env.NEW = 'x'
    delete process.env.PATH
    process.umask(0o077)
    process.chdir('/')
    process.argv[1] = 'other'
    process.on('SIGUSR2', () => {})
    process.exitCode = 7
  })`
  const looking = `test('looks', () => {
    expect([process.env.NEW, typeof process.env.PATH, process.umask(), process.exitCode]).toEqual([undefined, 'string', 0o022, undefined])
    expect([process.cwd() === '/', process.argv[1] === 'other', process.listenerCount('SIGUSR2')]).toEqual([false, false, 0])
  })`
  expect(await ran({ 'a.test.js': changing, 'b.test.js': looking })).toEqual({ changes: 'passed', looks: 'passed' })
})

test('a module that keeps `test` of the file that loaded it first is refused in the next one: its tests would be lost', async () => {
  const files = { 'keeping.js': 'export const walk = test\n' }
  const using = (name: string) => `import { walk } from './keeping.js'\nwalk('${name}', () => {})\ntest('beside ${name}', () => {})`
  expect(await ran({ ...files, 'a.test.js': using('a'), 'b.test.js': using('b') })).toEqual({
    a: 'passed',
    'beside a': 'passed',
    'b.test.js': expect.stringContaining('is of another file'),
  })
})
