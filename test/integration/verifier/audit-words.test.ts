import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { jest } from '@jest/globals'
import yargs from 'yargs'
import { exitCodeOf, isKeylimeError } from '../../../src/core/errors.ts'
import type { VerifierEvent } from '../../../src/core/events/verifier-event.ts'
import { openAuditLog } from '../../../src/io/audit/audit-log.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { addAuditWords } from '../../../src/roles/verifier/audit/audit-words.ts'
import { temporaryKeylimeDir } from '../../servers.ts'
import { HOSTILE, OPERATOR } from '../../verifier-events.ts'

const MAIN = path.resolve(import.meta.dirname, '../../../src/main.ts')
const NOON = Date.UTC(2026, 10, 28, 12)

const environment = { ...process.env }
let home: ReturnType<typeof temporaryKeylimeDir>
let file: string
beforeEach(() => {
  home = temporaryKeylimeDir()
  file = path.join(home.dir, 'audit.log')
  Object.assign(process.env, home.env)
})
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  home.remove()
})

/** The command line in this process. */
async function audit(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    jest.spyOn(process[name], 'write').mockImplementation(((chunk: string) => {
      said[name] += chunk
      return true
    }) as never),
  )
  try {
    let chosen = async () => 2
    await addAuditWords(
      yargs(['audit', ...args])
        .option('config', { type: 'string' })
        .strict(),
      (run) => {
        chosen = run
      },
    ).parseAsync()
    return { status: await chosen(), ...said }
  } catch (error) {
    return { status: isKeylimeError(error) ? exitCodeOf(error.code) : 99, ...said, stderr: `${said.stderr}${(error as Error).message}` }
  } finally {
    for (const spy of spies) spy.mockRestore()
    process.stdout.removeAllListeners('error')
  }
}

function program(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, ...home.env }
  return spawnSync(process.execPath, [MAIN, 'verifier', 'audit', ...args], { env, encoding: 'utf8' })
}

/** A log with an event an hour, from noon on. */
async function write(events: readonly VerifierEvent[], { hours = 1, maxBytes = 0 } = {}): Promise<void> {
  let at = NOON
  const log = await openAuditLog({ file, maxBytes, now: () => at, logger: silentLogger })
  for (const event of events) {
    at += hours * 3_600_000
    log.consume({ at, event })
    await log.flush()
  }
  await log.stop()
}

const EVENTS: VerifierEvent[] = [
  { type: 'agent_stopped', agent_id: 'd432fbb3', operator: OPERATOR },
  { type: 'agent_attested', agent_id: 'other' },
  { type: 'revocation_told', agent_id: 'other', revocation: 1, target: 'agent:d432fbb3' },
  { type: 'agent_unreachable', agent_id: HOSTILE, stage: 'quote', reason: HOSTILE },
]
const lines = () => fs.readFileSync(file, 'utf8').trimEnd().split('\n')
const rewrite = (changed: readonly string[]) => fs.writeFileSync(file, `${changed.join('\n')}\n`)

describe('verify', () => {
  test('a whole log: its lines, its time, and a head that is found again later', async () => {
    await write(EVENTS)
    const { status, stdout } = await audit('verify')
    expect([status, stdout]).toEqual([
      0,
      expect.stringContaining('5 lines from 2026-11-28T12:00:00.000Z to 2026-11-28T16:00:00.000Z: the chain holds'),
    ])
    const head = /^head: ([0-9a-f]{64}) \(number 5\)$/m.exec(stdout)![1]!
    await write([{ type: 'agent_attested', agent_id: 'later' }])
    expect(await audit('verify', '--head', head)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('and 1 line came after the head that was remembered'),
    })
    rewrite(lines().slice(0, 4))
    expect(await audit('verify')).toMatchObject({ status: 0 })
    expect(await audit('verify', '--head', head)).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('no line has the remembered hash'),
    })
  })

  test('a line that was changed: which one, with status 1, also as JSON', async () => {
    await write(EVENTS)
    rewrite(lines().with(1, lines()[1]!.replace('admin', 'nobody')))
    const { status, stdout } = await audit('verify', file)
    expect(status).toBe(1)
    expect(stdout).toMatch(/^broken: .*audit\.log, line 2 \(number 2\): this line was changed after it was written/)
    expect(stdout).toMatch(/THE CHAIN IS BROKEN\n$/)
    const json = await audit('verify', file, '--json')
    expect(json.status).toBe(1)
    expect(JSON.parse(json.stdout)).toMatchObject({
      intact: false,
      files: [file],
      lines: 5,
      breaks: [{ kind: 'line_changed', file, line: 2, seq: 2 }],
      head: { seq: 5 },
    })
  })

  test('a log in several files, in their order by itself; of one alone it says what it follows', async () => {
    await write(EVENTS, { maxBytes: 500 })
    const files = fs.readdirSync(home.dir).filter((name) => /\.\d{12}$/.test(name))
    expect(files.length).toBeGreaterThan(1)
    expect(JSON.parse((await audit('verify', '--json')).stdout)).toMatchObject({
      intact: true,
      files: [...files.sort().map((f) => path.join(home.dir, f)), file],
      follows: null,
    })
    expect((await audit('verify', file)).stdout).toContain('note: the first line follows one in an older file, which was not shown: ')
    expect(await audit('verify', path.join(home.dir, files[0]!), file)).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/missing: removed, or in a file that was not shown/),
    })
  })

  test('what cannot be read is an error with its exit code', async () => {
    expect(await audit('verify', 'nothing-here')).toMatchObject({ status: 6, stderr: expect.stringContaining('cannot read nothing-here') })
    expect(await audit('verify', '--head', 'abc')).toMatchObject({ status: 2, stderr: expect.stringContaining('64 hexadecimal digits') })
    fs.writeFileSync(file, '')
    expect(await audit('verify', file)).toMatchObject({ status: 1, stdout: expect.stringContaining('there is no line') })
  })
})

describe('show', () => {
  test('an event a line, and no text leaves its line', async () => {
    await write(EVENTS)
    const { status, stdout } = await audit('show')
    expect(status).toBe(0)
    const shown = stdout.trimEnd().split('\n')
    expect(shown.length).toBe(5)
    expect(shown[0]).toMatch(/^2026-11-28T12:00:00Z {2}the audit log begins \(chain [0-9a-f]{32}\)$/)
    expect(shown[1]).toBe('2026-11-28T13:00:00Z  agent d432fbb3 was stopped by admin (192.0.2.1)')
    expect(shown[4]).toMatch(/^2026-11-28T16:00:00Z {2}agent \?\{"seq":1\}/)
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
  })

  test('of one machine, also where it was told of another one; from a time on; as JSON', async () => {
    await write(EVENTS)
    expect((await audit('show', file, '--agent', 'd432')).stdout.split('\n').length - 1).toBe(2)
    expect((await audit('show', file, '--since', '2026-11-28T14:30Z')).stdout.split('\n').length - 1).toBe(2)
    const json = (await audit('show', file, '--agent', 'other', '--json')).stdout.trimEnd().split('\n')
    expect(json.map((line) => JSON.parse(line).event)).toEqual([EVENTS[1], EVENTS[2]])
    expect(await audit('show', file, '--since', '1s')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: expect.stringContaining('no event matches'),
    })
    expect(await audit('show', '--since', 'yesterday')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('"yesterday" is not a time'),
    })
  })

  test('what is no line is said, and what a later version wrote is shown as it is', async () => {
    await write(EVENTS.slice(0, 1))
    fs.appendFileSync(file, 'put in\u001b[2J\n')
    fs.appendFileSync(file, `${lines()[1]!.replace('agent_stopped', 'of_later')}\n`)
    const { stdout, stderr } = await audit('show')
    expect(stderr).toBe(`warning: ${file}, line 3 is not a line of an audit log\n`)
    expect(stdout).toContain('{"type":"of_later","agent_id":"d432fbb3"')
  })
})

test('a log that comes through a pipe', async () => {
  await write(EVENTS, { maxBytes: 500 })
  const all = fs.readdirSync(home.dir).filter((name) => /^audit\.log(\.\d+)?$/.test(name))
  const input = [...all.filter((name) => name !== 'audit.log').sort(), 'audit.log'].map((name) =>
    fs.readFileSync(path.join(home.dir, name)),
  )
  const env = { ...process.env, ...home.env }
  const args = [MAIN, 'verifier', 'audit', 'verify', '/dev/stdin', '--json']
  const { stdout } = spawnSync(process.execPath, args, { env, encoding: 'utf8', input: Buffer.concat(input) })
  expect(JSON.parse(stdout)).toMatchObject({ intact: true, follows: null })
})

test('a verifier without an audit log, and a word that is none', () => {
  home.env['KEYLIME_VERIFIER_AUDIT_LOG'] = ''
  expect(program('verify')).toMatchObject({ status: 2, stderr: expect.stringContaining('audit_log is empty') })
  expect(program('verify', 'nothing-here')).toMatchObject({ status: 6, stderr: expect.stringMatching(/^error: cannot read nothing-here/) })
  expect(program()).toMatchObject({ status: 2, stderr: expect.stringContaining('keylime verifier audit verify | show') })
  expect(program('fnord')).toMatchObject({ status: 2 })
  expect(program('show', '--help').stdout).toMatch(/^Prints the log\./)
})
