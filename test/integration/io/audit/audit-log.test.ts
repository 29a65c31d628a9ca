import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { readAuditLine } from '../../../../src/core/audit/audit-line.ts'
import { type ChainReport, createChainVerifier } from '../../../../src/core/audit/verify-chain.ts'
import type { VerifierEvent } from '../../../../src/core/events/verifier-event.ts'
import { rotatedFiles } from '../../../../src/io/audit/audit-files.ts'
import { type AuditLog, type AuditLogOptions, openAuditLog } from '../../../../src/io/audit/audit-log.ts'
import { readLines } from '../../../../src/io/audit/read-lines.ts'
import { silentLogger } from '../../../../src/io/log/logger.ts'
import { until } from '../../../servers.ts'
import { runs } from '../../../thorough.ts'
import { HOSTILE, oneOfEach } from '../../../verifier-events.ts'

let directory: string
let file: string
const running: AuditLog[] = []
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-audit-'))
  file = path.join(directory, 'audit.log')
})
afterEach(async () => {
  for (const log of running.splice(0)) await log.stop()
  fs.rmSync(directory, { recursive: true })
})

async function open(options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  const log = await openAuditLog({ file, maxBytes: 0, now: Date.now, logger: silentLogger, ...options })
  running.push(log)
  return log
}

const attested = (agent_id: string): VerifierEvent => ({ type: 'agent_attested', agent_id })
const tell = (log: AuditLog, ...events: VerifierEvent[]) => {
  for (const event of events) log.consume({ at: Date.now(), event })
}
const written = (name = file) => fs.readFileSync(name, 'latin1').trimEnd().split('\n')
const eventsOf = (name = file) => written(name).map((line) => readAuditLine(line)?.event)

async function verify(...files: string[]): Promise<ChainReport> {
  const verifier = createChainVerifier()
  for (const name of files.length > 0 ? files : [file]) {
    let line = 0
    for await (const bytes of readLines(name)) verifier.line({ file: name, line: ++line }, bytes)
  }
  return verifier.report()
}

test('events are on the disk after flush, in their order, in a file of mode 0600, whatever the umask', async () => {
  const umask = process.umask(0)
  const log = await open()
  process.umask(umask)
  const events = [...oneOfEach('x'), ...oneOfEach(HOSTILE), attested('y'.repeat(300))]
  tell(log, ...events)
  await log.flush()
  expect(eventsOf()).toEqual([{ type: 'audit_begun', chain: expect.stringMatching(/^[0-9a-f]{32}$/) }, ...events])
  expect(fs.statSync(file).mode & 0o777).toBe(0o600)
  expect(fs.readFileSync(file).every((byte) => byte === 10 || (byte >= 32 && byte < 127))).toBe(true)
  expect(await verify()).toMatchObject({ intact: true, lines: events.length + 1 })
})

test('events come to the disk by themselves, and many at once are one chain', async () => {
  const log = await open()
  await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      tell(log, attested(`agent-${i}`))
      if (i % 7 === 0) await log.flush()
    }),
  )
  await until('all written', () => written().length === 201)
  expect(eventsOf().slice(1)).toEqual(Array.from({ length: 200 }, (_, i) => attested(`agent-${i}`)))
  expect((await verify()).intact).toBe(true)
})

test('a further run goes on with the chain', async () => {
  for (const agent of ['a', 'b', 'c']) {
    const log = await open()
    tell(log, attested(agent))
    await log.stop()
  }
  expect(eventsOf()).toEqual([expect.anything(), attested('a'), attested('b'), attested('c')])
  expect((await verify()).intact).toBe(true)
})

test('wherever a crash cuts the end, nothing is removed, the next line tells of it, and the chain holds', async () => {
  const first = await open()
  tell(first, attested('a'), attested('b'), attested('c'))
  await first.stop()
  const whole = fs.readFileSync(file)
  const afterFirst = whole.indexOf(10) + 1
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: afterFirst, max: whole.length }),
      fc.constantFrom('', '\u0000\u0000\u0000', '\n', 'x\ny'),
      async (cut, more) => {
        const left = Buffer.concat([whole.subarray(0, cut), Buffer.from(more)])
        fs.writeFileSync(file, left)
        const log = await openAuditLog({ file, maxBytes: 0, now: Date.now, logger: silentLogger })
        tell(log, attested('later'))
        await log.stop()
        expect(fs.readFileSync(file).subarray(0, left.length).equals(left)).toBe(true)
        expect(eventsOf().at(-1)).toEqual(attested('later'))
        expect(await verify()).toMatchObject({ intact: true, breaks: [] })
      },
    ),
    { numRuns: runs(60, 20) },
  )
})

test('a process that is killed while it writes leaves a chain that goes on', async () => {
  const script = path.join(import.meta.dirname, 'write-audit-log.ts')
  for (let round = 0; round < runs(4, 2); round++) {
    const child = spawn(process.execPath, [script, file], { stdio: ['ignore', 'pipe', 'inherit'] })
    let flushed = 0
    child.stdout.on('data', (chunk: Buffer) => {
      flushed += chunk.length
    })
    await until('it writes', () => flushed > 20 + 50 * round)
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('close', resolve))
    const log = await open()
    await log.stop()
    expect((await verify()).breaks).toEqual([])
    const numbers = eventsOf().flatMap((event) => (event?.['agent_id'] === `run-${child.pid}` ? [Number(event['after'])] : []))
    expect(numbers).toEqual(numbers.map((_, i) => i))
    expect(numbers.length).toBeGreaterThanOrEqual(flushed) // what was flushed is there
  }
})

describe('a new file is begun', () => {
  test('when another program renamed it, with the next event or a reopen', async () => {
    const log = await open()
    tell(log, attested('a'))
    await log.flush()
    fs.renameSync(file, `${file}.1`)
    tell(log, attested('b'))
    await log.flush()
    expect(eventsOf()).toMatchObject([{ type: 'audit_continued', file: 'the file that was renamed' }, attested('b')])
    fs.renameSync(file, `${file}.2`)
    await log.reopen()
    expect(eventsOf()).toMatchObject([{ type: 'audit_continued' }])
    expect(await verify(`${file}.1`, `${file}.2`, file)).toMatchObject({ intact: true, lines: 5 })
    expect((await rotatedFiles(file)).map((rotated) => path.basename(rotated.file))).toEqual(['audit.log.1', 'audit.log.2'])
  })

  test('in an empty one that was put in its place', async () => {
    const log = await open()
    fs.renameSync(file, `${file}.1`)
    fs.writeFileSync(file, '', { mode: 0o600 })
    await log.reopen()
    expect((await verify(`${file}.1`, file)).intact).toBe(true)
    expect(eventsOf()).toMatchObject([{ type: 'audit_continued' }])
  })

  test('when it has become too large; files are named by their last line, and nothing is deleted', async () => {
    const log = await open({ maxBytes: 3000 })
    for (let i = 0; i < 60; i++) {
      tell(log, attested(`agent-${i}`))
      await log.flush()
    }
    const files = [...(await rotatedFiles(file)).map((rotated) => rotated.file), file]
    expect(files.length).toBeGreaterThan(3)
    expect(files.every((name) => fs.statSync(name).size < 4000)).toBe(true)
    expect([...files].sort()).toEqual([...files.slice(0, -1), file].sort())
    expect(path.basename(files[0]!)).toMatch(/^audit\.log\.0{10}\d\d$/)
    expect(readAuditLine(written(files[0]!).at(-1)!)!.seq).toBe(Number(files[0]!.split('.').at(-1)))
    const report = await verify(...files)
    expect([report.breaks, report.lines]).toEqual([[], 60 + files.length])
  })

  test('also by the next run, when the file was renamed while nobody wrote, incomplete as it was', async () => {
    const log = await open()
    tell(log, attested('a'), attested('b'))
    await log.stop()
    fs.truncateSync(file, fs.statSync(file).size - 10)
    fs.renameSync(file, `${file}-20261128`)
    fs.writeFileSync(`${file}.gz`, 'compressed')
    await (await open()).stop()
    expect(eventsOf()).toMatchObject([{ type: 'audit_continued', file: 'audit.log-20261128', incomplete: { lines: 1 } }])
    expect(await verify(`${file}-20261128`, file)).toMatchObject({ intact: true, incomplete: 1 })
  })

  test('not in a file that is not empty: the old one is written on', async () => {
    const errors: string[] = []
    const log = await open({ logger: { ...silentLogger, error: (message) => void errors.push(message) } })
    fs.renameSync(file, `${file}.1`)
    fs.writeFileSync(file, 'of somebody else\n', { mode: 0o600 })
    tell(log, attested('a'))
    await log.flush()
    tell(log, attested('b'))
    await log.flush()
    expect(eventsOf(`${file}.1`).slice(1)).toEqual([attested('a'), attested('b')])
    expect(fs.readFileSync(file, 'utf8')).toBe('of somebody else\n')
    expect(errors).toEqual([expect.stringContaining('another file that is not empty is in its place')])
  })
})

describe('is refused', () => {
  const refused = (message: RegExp, code = 'file_failed') =>
    expect(open()).rejects.toMatchObject({ code, message: expect.stringMatching(message) })

  test('a file that others may read', async () => {
    fs.writeFileSync(file, '', { mode: 0o600 })
    fs.chmodSync(file, 0o640)
    await refused(/not a safe place for the audit log: its mode is 640/)
  })

  test('a link, a directory, a file with a second name, and a directory that is not there', async () => {
    fs.symlinkSync('/dev/null', file)
    await refused(/it is a symbolic link/)
    fs.rmSync(file)
    fs.mkdirSync(file)
    await refused(/cannot open .*EISDIR/)
    fs.rmdirSync(file)
    fs.writeFileSync(`${file}x`, '', { mode: 0o600 })
    fs.linkSync(`${file}x`, file)
    await refused(/second name/)
    await expect(open({ file: path.join(directory, 'no', 'audit.log') })).rejects.toMatchObject({ code: 'file_failed' })
  })

  const asRoot = process.getuid?.() === 0 ? test : test.skip // gives a file away
  asRoot('a file of another user', async () => {
    fs.writeFileSync(file, '', { mode: 0o600 })
    fs.chownSync(file, 65_534, 65_534)
    await refused(/it belongs to user 65534, the verifier runs as 0/)
  })

  test('a file that is no audit log: nothing is written into it', async () => {
    fs.writeFileSync(file, 'root:x:0:0\n', { mode: 0o600 })
    await refused(/is not an audit log/)
    expect(fs.readFileSync(file, 'utf8')).toBe('root:x:0:0\n')
  })

  test('a second writer, of this process or another one, until the first is gone', async () => {
    const first = await open()
    await refused(/another process writes the audit log/, 'conflict')
    await first.stop()
    const child = spawn(process.execPath, [path.join(import.meta.dirname, 'write-audit-log.ts'), file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    fs.renameSync(file, `${file}.1`)
    await refused(/another process writes the audit log/, 'conflict')
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('close', resolve))
    await (await open()).stop()
  })
})

test('after the end nothing is taken, and everything before is there', async () => {
  const log = await open()
  tell(log, attested('a'))
  await log.stop()
  tell(log, attested('late'))
  await log.flush()
  await log.stop()
  expect(eventsOf().slice(1)).toEqual([attested('a')])
})
