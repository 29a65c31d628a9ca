import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runScript, type ScriptRun } from '../../../../src/io/programs/run-script.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-script-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

async function run(content: string, more: Partial<ScriptRun> = {}) {
  const file = path.join(directory, 'autorun.sh')
  fs.writeFileSync(file, content, { mode: 0o700 })
  const lines: string[] = []
  const env = { PATH: process.env['PATH'], AGENT_UUID: 'a-1' }
  const base = { file, cwd: directory, env, timeLimitSeconds: 10, maxOutputBytes: 1 << 20 }
  const result = await runScript({ ...base, onLine: (stream, line) => lines.push(`${stream}: ${line}`), ...more })
  return { result, lines }
}
const alive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return !fs.readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

test('output comes line by line, with exit code and time', async () => {
  const { result, lines } = await run('#!/bin/sh\necho "hello $AGENT_UUID"; echo oops >&2; pwd; exit 3\n')
  expect(result).toMatchObject({ exitCode: 3, timedOut: false, droppedBytes: 0 })
  expect(lines.sort()).toEqual(['stderr: oops', 'stdout: hello a-1', `stdout: ${fs.realpathSync(directory)}`].sort())
})

test('a script without #! is for bash', async () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash
  const { lines } = await run('a=(x y z); echo ${a[2]}\n')
  expect(lines).toEqual(['stdout: z'])
})

test('another interpreter in the #! line is honoured', async () => {
  const { lines } = await run('#!/usr/bin/perl\nprint 6*7, "\\n";\n')
  expect(lines).toEqual(['stdout: 42'])
})

test('an interpreter that does not exist is a start error, no exception', async () => {
  const { result } = await run('#!/no/such/interpreter\n')
  expect(result).toMatchObject({ exitCode: null, startError: expect.stringMatching(/there is no \/no\/such\/interpreter$/) })
})

test('10 MB of output neither hang the script nor fill the memory', async () => {
  const { result, lines } = await run('#!/bin/sh\nhead -c 10485760 /dev/zero | tr "\\0" "x"\nexit 7\n', { maxOutputBytes: 65_536 })
  expect(result).toMatchObject({ exitCode: 7, outputBytes: 10_485_760, droppedBytes: 10_485_760 - 65_536 })
  expect(lines.every((line) => line.length <= 4096 + 10)).toBe(true)
})

test('a hanging script is killed with everything that it started', async () => {
  const { result, lines } = await run('#!/bin/sh\ntrap "" TERM\nsleep 60 & echo $!\nwait\nsleep 60\n', { timeLimitSeconds: 0.3 })
  expect(result.timedOut).toBe(true)
  expect(result.durationSeconds).toBeLessThan(5)
  await sleep(50)
  expect(alive(Number(lines[0]!.split(' ')[1]))).toBe(false)
})

test('a daemon that keeps the pipe open does not hold us', async () => {
  const { result, lines } = await run('#!/bin/sh\nsleep 20 &\necho $!\nexit 0\n')
  expect(result.exitCode).toBe(0)
  expect(result.durationSeconds).toBeLessThan(5)
  const pid = Number(lines[0]!.split(' ')[1])
  expect(alive(pid)).toBe(true) // it may go on: only the time limit kills
  process.kill(pid)
})

test('an abort ends the group', async () => {
  const { result } = await run('#!/bin/sh\nsleep 60\n', { signal: AbortSignal.timeout(100) })
  expect(result).toMatchObject({ exitCode: null, signal: 'SIGTERM', timedOut: false })
})

test.each([
  ['Windows line ends', '#!/bin/sh\r\necho x\r\n', 0o700, /its first line ends with a carriage return/],
  ['no right to start it', '#!/bin/sh\n', 0o600, /is not executable \(mode 600\)/],
  ['an interpreter that is no program', '#!/etc/passwd\n', 0o700, /interpreter \/etc\/passwd, which is not executable/],
])('%s is told in words', async (_, content, mode, words) => {
  const file = path.join(directory, 'local_action_x')
  fs.writeFileSync(file, content)
  fs.chmodSync(file, mode)
  const result = await runScript({ file, cwd: directory, env: {}, timeLimitSeconds: 10, maxOutputBytes: 100, onLine: () => undefined })
  expect(result.startError).toMatch(words)
})

test('Windows line ends behind env are told too: it starts, and fails at once', async () => {
  const { result } = await run('#!/usr/bin/env bash\r\necho x\r\n')
  expect(result).toMatchObject({ exitCode: 127, reason: expect.stringContaining('carriage return') })
})

test('a script that is gone is a start error', async () => {
  const file = path.join(directory, 'gone')
  const result = await runScript({ file, cwd: directory, env: {}, timeLimitSeconds: 10, maxOutputBytes: 100, onLine: () => undefined })
  expect(result.startError).toBe(`there is no ${file}`)
})
