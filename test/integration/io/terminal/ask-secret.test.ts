import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { temporaryKeylimeDir } from '../../../servers.ts'

const main = path.resolve(import.meta.dirname, '../../../../src/main.ts')

/** Runs keylime on a terminal of its own and types an answer whenever it asks. */
function typed(args: string[], env: NodeJS.ProcessEnv, answers: string[]): Promise<{ code: number | null; shown: string }> {
  const command = [process.execPath, main, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qefc', command, '/dev/null'], { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] })
  let shown = ''
  let asked = 0
  child.stdout.on('data', (chunk) => {
    shown += chunk
    while (asked < answers.length && shown.split(/keystore: |again: /).length - 1 > asked) child.stdin.write(answers[asked++] ?? '')
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, shown })))
}

let home: ReturnType<typeof temporaryKeylimeDir>
beforeEach(() => {
  home = temporaryKeylimeDir()
})
afterEach(() => home.remove())

test('a new password is asked for twice, an old one once, and neither is ever shown', async () => {
  const made = await typed(['ca', 'init'], home.env, ['hunter2\r', 'hunterX\u007f2\r'])
  expect(made).toMatchObject({ code: 0, shown: expect.stringContaining('authority') })
  const listed = await typed(['ca', 'crl'], home.env, ['hunter2\r'])
  expect(listed.code).toBe(0)
  expect(made.shown + listed.shown).not.toContain('hunter')
})

test('passwd asks once for the old password and twice for the new one', async () => {
  await typed(['ca', 'init'], home.env, ['old\r', 'old\r'])
  expect(await typed(['ca', 'passwd'], home.env, ['old\r', 'new\r', 'new\r'])).toMatchObject({ code: 0 })
  expect((await typed(['ca', 'crl'], home.env, ['new\r'])).code).toBe(0)
  expect((await typed(['ca', 'crl'], home.env, ['old\r'])).code).toBe(5)
})

test('two different passwords, an empty one and Ctrl-C make nothing', async () => {
  expect((await typed(['ca', 'init'], home.env, ['one\r', 'two\r'])).shown).toContain('the two passwords differ')
  expect((await typed(['ca', 'init'], home.env, ['\r', '\r'])).shown).toContain('an empty password would protect nothing')
  expect(await typed(['ca', 'init'], home.env, ['abc\u0003'])).toMatchObject({ code: 5, shown: expect.stringContaining('interrupted') })
  expect(fs.existsSync(path.join(home.dir, 'ca/cacert.crt'))).toBe(false)
})
