import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createReferenceState } from '../../../../src/core/measured-boot/create-reference-state.ts'
import { parseEventLog } from '../../../../src/core/measured-boot/event-log.ts'
import { bootAggregates, replayEventLog } from '../../../../src/core/measured-boot/replay.ts'
import { judgeExample, machineEvents, machineState, measured, serialize } from '../../../boot-log.ts'
import { evidenceFile, judgeEverywhere } from '../../../evidence-vector.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-boot-logs-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))
const SECURE = 'secure-boot-ima-ng'
const judge = (name: string, boot = '{"any": 1}', bootPolicy: 'accept-all' | 'example' = 'accept-all', pcrs = name) =>
  judgeEverywhere({ bootLog: evidenceFile(`${name}.bin`), pcrs: evidenceFile(`${pcrs}.pcrs.txt`), boot, bootPolicy })
const NOTHING = { tool: [], verifier: [], again: [] }

test.each(['hcrtm', 'hcrtm-and-locality', 'hcrtm-started-from-locality-3', 'locality-3', 'locality-3-in-a-slot'])(
  'PCR 0 of %s begins where the TPM began it',
  async (name) => expect(await judge(name)).toEqual(NOTHING),
)
test('boot_aggregate follows from where PCR 0 begins', () => {
  const of = (name: string) =>
    bootAggregates(replayEventLog(parseEventLog(fs.readFileSync(evidenceFile(`${name}.bin`))), 'sha256'), 'sha256')
  expect(of('locality-3-in-a-slot')).toEqual(of('locality-3'))
  expect(of('hcrtm')).toEqual(of('hcrtm-and-locality'))
  expect(of('locality-untold')).not.toEqual(of('locality-3'))
})
test.each([
  ['locality-untold', 'locality-untold', 3, /PCR 0 begins at 0…03: the TPM was started from locality 3/],
  ['locality-3', 'locality-3-without', 0, /PCR 0 begins at 0…00: .*the log says otherwise/],
  ['locality-untold', 'locality-4-without', 4, /PCR 0 begins at 0…04: an H-CRTM was measured/],
])('a log %s that fits only with another start of PCR 0 is refused, and the message says which', async (name, _what, start, words) => {
  const log = parseEventLog(fs.readFileSync(evidenceFile(`${name}.bin`)))
  const value = replayEventLog(log, 'sha256', start).get(0)!
  const pcrs = fs.readFileSync(evidenceFile(`${name}.pcrs.txt`), 'utf8').replace(/^( *0 *: 0x).*$/m, `$1${value.toString('hex')}`)
  const file = path.join(dir, 'pcrs.txt')
  fs.writeFileSync(file, pcrs)
  const verdict = await judgeEverywhere({ bootLog: evidenceFile(`${name}.bin`), pcrs: file, boot: '{"any": 1}' })
  expect(verdict.tool).toMatchObject([
    { eventId: 'measured_boot.invalid_pcr_0', context: { message: expect.stringMatching(words), start } },
  ])
  expect([verdict.verifier, verdict.again]).toEqual([['measured_boot.invalid_pcr_0'], ['measured_boot.invalid_pcr_0']])
})
test('an H-CRTM event behind the first measurement does not change where PCR 0 began', () => {
  const log = parseEventLog(fs.readFileSync(evidenceFile('hcrtm.bin')))
  const [hcrtm, first, ...rest] = log.events
  expect(replayEventLog({ ...log, events: [first!, hcrtm!, ...rest] }, 'sha256').get(0)).toEqual(
    replayEventLog({ ...log, events: [first!, hcrtm!, ...rest] }, 'sha256', 0).get(0),
  )
})
test('an H-CRTM is part of the firmware to policy example', () => {
  const [hcrtm] = parseEventLog(fs.readFileSync(evidenceFile('hcrtm.bin'))).events
  const [locality] = parseEventLog(fs.readFileSync(evidenceFile('locality-3.bin'))).events
  const events = [locality!, hcrtm!, ...machineEvents(SECURE)]
  const { state } = createReferenceState(parseEventLog(serialize(events)), { withoutSecureBoot: false })
  expect(judgeExample(events, state)).toEqual([])
  expect(judgeExample(events, machineState(SECURE))).not.toEqual([])
  expect(judgeExample(machineEvents(SECURE), state)).not.toEqual([])
  expect(judgeExample([locality!, ...events], state)).toMatchObject([{ context: { message: expect.stringContaining('more than once') } }])
})

test.each(['shim-before-15.3', 'vendor-digests'])('policy example accepts %s: what it judges is measured', async (name) =>
  expect(await judge(name, fs.readFileSync(evidenceFile(`${name}.state.json`), 'utf8'), 'example')).toEqual(NOTHING),
)
test('bytes behind a variable excuse no variable that was not measured', () => {
  const isSecureBoot = (data: Buffer) => data.toString('utf16le', 32).startsWith('SecureBoot')
  const forged = machineEvents(SECURE).map((event) => {
    if (!isSecureBoot(event.data)) return event
    const off = Buffer.concat([event.data.subarray(0, -1), Buffer.from([0])])
    return measured(event, Buffer.concat([event.data, Buffer.alloc(6)]), off)
  })
  expect(judgeExample(forged, machineState(SECURE))).toMatchObject([
    { context: { message: expect.stringContaining('does not fit its digest') } },
  ])
  const short = machineEvents(SECURE).map((event) =>
    isSecureBoot(event.data) ? measured(event, event.data, event.data.subarray(0, -1)) : event,
  )
  expect(judgeExample(short, machineState(SECURE))).toMatchObject([
    { context: { message: expect.stringContaining('does not fit its digest') } },
  ])
})
