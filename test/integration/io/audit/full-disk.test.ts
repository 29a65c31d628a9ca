import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { readAuditLine } from '../../../../src/core/audit/audit-line.ts'
import { createChainVerifier } from '../../../../src/core/audit/verify-chain.ts'
import type { VerifierEvent } from '../../../../src/core/events/verifier-event.ts'
import { type AuditLog, openAuditLog } from '../../../../src/io/audit/audit-log.ts'
import { silentLogger } from '../../../../src/io/log/logger.ts'
import { until } from '../../../servers.ts'
import { walk } from '../../../thorough.ts'

const asRoot = process.getuid?.() === 0 ? describe : describe.skip // mounts a small tmpfs

asRoot('while the disk is full', () => {
  let directory: string
  let file: string
  let log: AuditLog
  let said: string[]
  beforeEach(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-audit-full-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=0700', 'tmpfs', directory])
    file = path.join(directory, 'audit.log')
    said = []
    const say = (message: string) => void said.push(message)
    log = await openAuditLog({ file, maxBytes: 0, now: Date.now, logger: { ...silentLogger, warn: say, error: say } })
  })
  afterEach(async () => {
    await log.stop()
    execFileSync('umount', [directory])
    fs.rmdirSync(directory)
  })

  const filler = () => path.join(directory, 'filler')
  function fill(): void {
    const fd = fs.openSync(filler(), 'a')
    try {
      for (;;) fs.writeSync(fd, Buffer.alloc(4096))
    } catch {
      fs.closeSync(fd) // nothing fits any more
    }
  }
  const event = (number: number, text = ''): VerifierEvent => ({ type: 'agent_recovered', agent_id: String(number), after: text })
  const events = () =>
    fs
      .readFileSync(file, 'latin1')
      .trimEnd()
      .split('\n')
      .map((line) => readAuditLine(line)!.event)
  function intact(): boolean {
    const verifier = createChainVerifier()
    for (const [i, line] of fs.readFileSync(file, 'latin1').trimEnd().split('\n').entries())
      verifier.line({ file, line: i + 1 }, Buffer.from(line))
    return verifier.report().intact
  }

  test('events wait, nobody is held up, it is said once, and all are written when there is room', async () => {
    fill()
    for (let i = 0; i < 100; i++) {
      log.consume({ at: Date.now(), event: event(i, 'x'.repeat(200)) })
      await log.flush() // does not wait for room
    }
    expect(said).toEqual([expect.stringMatching(/^audit log .* cannot be written, events wait: ENOSPC/)])
    fs.rmSync(filler())
    await until('all written', () => said.length === 2)
    expect(said[1]).toMatch(/is written again$/)
    expect(
      events()
        .slice(1)
        .map((e) => Number(e['agent_id'])),
    ).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(intact()).toBe(true)
  })

  walk('more than may wait are counted, and the line in their place says how many', async () => {
    fill()
    const count = 60_000
    for (let i = 0; i < count; i++) log.consume({ at: 1_000_000 + i, event: event(i, 'y'.repeat(300)) })
    await log.flush()
    fs.rmSync(filler())
    log.consume({ at: 2_000_000, event: event(count) })
    await until('all written', () => said.length === 2)
    log.consume({ at: 2_000_001, event: event(count + 1) })
    await log.flush()
    const all = events()
    const at = all.findIndex(({ type }) => type === 'audit_lost')
    const lost = all[at]!
    expect(all.slice(1, at).map((e) => Number(e['agent_id']))).toEqual(Array.from({ length: at - 1 }, (_, i) => i))
    expect(lost).toEqual({
      type: 'audit_lost',
      count: count - (at - 1) + (all.at(-2) === lost ? 1 : 0),
      from: new Date(1_000_000 + at - 1).toISOString(),
      to: new Date(all.at(-2) === lost ? 2_000_000 : 1_000_000 + count - 1).toISOString(),
    })
    expect(all.at(-1)).toEqual(event(count + 1))
    expect(intact()).toBe(true)
  })

  test('an end in that state leaves what a next run can go on with', async () => {
    fill()
    for (let i = 0; i < 20; i++) log.consume({ at: Date.now(), event: event(i, 'x'.repeat(300)) })
    await log.stop()
    expect(said.at(-1)).toMatch(/the last events could not be written and are lost/)
    fs.rmSync(filler())
    log = await openAuditLog({ file, maxBytes: 0, now: Date.now, logger: silentLogger })
    log.consume({ at: Date.now(), event: event(2) })
    await log.flush()
    const verifier = createChainVerifier()
    for (const [i, line] of fs.readFileSync(file, 'latin1').trimEnd().split('\n').entries())
      verifier.line({ file, line: i + 1 }, Buffer.from(line))
    expect(verifier.report().breaks).toEqual([])
  })
})
