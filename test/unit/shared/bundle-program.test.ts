import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { programState } from '../../bundle-program.ts'
import { PROGRAM } from '../../program.ts'

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-bundle-'))
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

test('no bundle is for other sources: whatever is changed, added, renamed or taken away has another name, and only what is put back has the first', () => {
  const write = (file: string, text: string) => {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    fs.writeFileSync(path.join(root, file), text)
  }
  for (const file of ['node_modules/.package-lock.json', 'test/bundle-program.ts', 'src/main.ts', 'src/core/errors.ts']) write(file, 'x')
  const first = programState(root)
  const states = [first]
  const after = (change: () => void) => {
    change()
    states.push(programState(root))
  }
  after(() => write('src/core/errors.ts', 'y'))
  after(() => write('src/core/more.ts', ''))
  after(() => fs.renameSync(path.join(root, 'src/core/more.ts'), path.join(root, 'src/core/less.ts')))
  after(() => write('node_modules/.package-lock.json', 'y'))
  after(() => write('test/bundle-program.ts', 'y'))
  expect(new Set(states).size).toBe(states.length)
  fs.rmSync(path.join(root, 'src/core/less.ts'))
  for (const file of ['node_modules/.package-lock.json', 'test/bundle-program.ts', 'src/core/errors.ts']) write(file, 'x')
  expect(programState(root)).toBe(first)
})

test('the bundle is of the sources as they are now, and runs', () => {
  expect(path.basename(path.dirname(PROGRAM))).toBe(programState())
  expect(execFileSync(process.execPath, [PROGRAM, '--version'], { encoding: 'utf8', env: {} })).toContain('keylime 0.0.0-dev')
})
