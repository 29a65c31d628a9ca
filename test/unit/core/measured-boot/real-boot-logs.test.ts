import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createReferenceState } from '../../../../src/core/measured-boot/create-reference-state.ts'
import { parseEventLog } from '../../../../src/core/measured-boot/event-log.ts'
import { bootAggregates, replayEventLog } from '../../../../src/core/measured-boot/replay.ts'
import { parseSystemdLog } from '../../../../src/core/measured-boot/systemd-log.ts'
import { judgeExample, machineEvents, machineState, measured, serialize } from '../../../boot-log.ts'
import { evidenceFile, judgeEverywhere } from '../../../evidence-vector.ts'
import { imaLine, pcr10After, runtimePolicy } from '../../../ima.ts'
import { machinePcrs } from '../../../machines.ts'

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
    { context: { message: expect.stringContaining('does not match its digest') } },
  ])
  const short = machineEvents(SECURE).map((event) =>
    isSecureBoot(event.data) ? measured(event, event.data, event.data.subarray(0, -1)) : event,
  )
  expect(judgeExample(short, machineState(SECURE))).toMatchObject([
    { context: { message: expect.stringContaining('does not match its digest') } },
  ])
})

const PCRS = 'secure-boot-ima-ng'
const H = (...parts: (Buffer | string)[]) =>
  createHash('sha256')
    .update(Buffer.concat(parts.map((part) => Buffer.from(part as string))))
    .digest()
/** PCRs of a real machine after systemd measured these words into PCR 11 and 15, and its log of that. */
function afterSystemd(words: [pcr: number, word: string][], name: string) {
  const values = new Map(machinePcrs(PCRS, 'sha256'))
  for (const [pcr, word] of words) values.set(pcr, H(values.get(pcr)!, H(word)))
  const pcrs = path.join(dir, `${name}.pcrs.txt`)
  fs.writeFileSync(pcrs, `sha256:\n${[...values].map(([pcr, value]) => `  ${pcr}: 0x${value.toString('hex')}\n`).join('')}`)
  const record = ([pcr, word]: [number, string]) =>
    `\x1e${JSON.stringify({ pcr, digests: [{ hashAlg: 'sha256', digest: H(word).toString('hex') }], content_type: 'systemd', content: { eventType: 'phase', string: word } })}\n`
  return { pcrs, log: words.map(record).join('') }
}
const BOOTED: [number, string][] = [
  [11, 'enter-initrd'],
  [15, 'cryptsetup:root:…'],
  [11, 'leave-initrd'],
  [11, 'sysinit'],
  [5, 'os-separator'],
]
const machineLogFile = path.resolve(import.meta.dirname, '../../../vectors/machines', PCRS, 'uefi.bin')
const later = (boot: string, pcrs: string, systemdLog?: string) =>
  judgeEverywhere({ bootLog: machineLogFile, boot, pcrs, ...(systemdLog === undefined ? {} : { systemdLog }) })
const ids = ({ tool, ...others }: Awaited<ReturnType<typeof judgeEverywhere>>) => [
  tool.map((f) => f.eventId),
  others.verifier,
  others.again,
]
const alike = (...events: string[]) => [events, events, events]

test('what systemd measures after the boot is understood from its log, in any PCR, also when the log is ahead of the quote', async () => {
  const { pcrs, log } = afterSystemd(BOOTED, 'whole')
  const more = afterSystemd([...BOOTED, [11, 'ready']], 'ahead').log
  for (const systemdLog of [log, more]) expect(ids(await later('{"pcrs": [11, 15]}', pcrs, systemdLog))).toEqual(alike())
})
test('without its log PCR 11 and 15 fail only where the policy names them, and the message says who extends them', async () => {
  const { pcrs, log } = afterSystemd(BOOTED.slice(0, 4), 'without')
  expect(ids(await later('{"any": 1}', pcrs))).toEqual(alike())
  expect(ids(await later('{"pcrs": ["15"]}', pcrs))).toEqual(alike('measured_boot.invalid_pcr_15'))
  const named = await later('{"pcrs": [11, 15]}', pcrs)
  expect(ids(named)).toEqual(alike('measured_boot.invalid_pcr_11', 'measured_boot.invalid_pcr_15'))
  expect(named.tool[0]!.context.message).toMatch(/systemd extends it after the boot \(phases.*\), and the agent sent no log of systemd$/)
  const altered = await later('{"pcrs": [11]}', pcrs, log.replace(/[0-9a-f]{64}/, 'ab'.repeat(32)))
  expect(altered.tool[0]!.context.message).toMatch(/the log of systemd does not lead to it$/)
  expect(ids(await later('{"pcrs": [11, 15]}', pcrs, `${log}\x1e{"pcr": 11, "dig`))).toEqual(alike())
  const broken = await later('{"pcrs": [11]}', pcrs, `${log}\x1e{}}\n`)
  expect(broken.tool[0]!.context.message).toMatch(/the log of systemd cannot be read: record 5 is not JSON$/)
})
test('a PCR of the firmware that systemd extends needs its log', async () => {
  const { pcrs, log } = afterSystemd(BOOTED, 'firmware')
  expect(ids(await later('{"any": 1}', pcrs, log))).toEqual(alike())
  expect(ids(await later('{"any": 1}', pcrs))).toEqual(alike('measured_boot.invalid_pcr_5'))
})
test.each([4, 7, 8, 9])('the end of a boot is judged by policy example, not explained by a log of systemd: PCR %i', async (pcr) => {
  const events = machineEvents(SECURE)
  const last = events.findLast((event) => event.pcr === pcr)!
  const [bootLog, pcrs] = [path.join(dir, `cut-${pcr}.bin`), afterSystemd([], `cut-${pcr}`).pcrs]
  const state = JSON.stringify(machineState(SECURE))
  fs.writeFileSync(bootLog, serialize(events.filter((event) => event !== last)))
  const digests = [{ hashAlg: 'sha256', digest: last.digests.get('sha256')!.toString('hex') }]
  const texts = ['os-separator', last.data.toString('latin1').replace(/^\w+: |\0$/g, ''), null]
  for (const string of texts) {
    const systemdLog = `\x1e${JSON.stringify({ pcr, digests, content: { string } })}\n`
    const verdict = await judgeEverywhere({ bootLog, boot: state, bootPolicy: 'example', pcrs, systemdLog })
    expect(verdict.tool.map((f) => f.eventId)).toContain(`measured_boot.invalid_pcr_${pcr}`)
    expect(verdict.verifier).toContain(`measured_boot.invalid_pcr_${pcr}`)
  }
})
test('policy example takes the words with which systemd ends a boot, but none in the PCR of texts that GRUB measures', async () => {
  const words: [number, string][] = [
    [9, 'nvpcr-init:hardware:0x1d10200:sha256:de38'],
    [9, 'nvpcr-separator'],
    ...[0, 1, 2, 3, 4, 5, 6, 7, 9, 14].map((pcr): [number, string] => [pcr, 'os-separator']),
  ]
  const judged = async (name: string, extended: [number, string][]) => {
    const { pcrs, log: systemdLog } = afterSystemd(extended, name)
    const boot = JSON.stringify(machineState(SECURE))
    return ids(await judgeEverywhere({ bootLog: machineLogFile, boot, bootPolicy: 'example', pcrs, systemdLog }))
  }
  expect(await judged('words', words)).toEqual(alike())
  expect(await judged('grub', [[8, 'os-separator']])).toEqual(alike('measured_boot.invalid_pcr_8'))
  expect(await judged('other', [[4, 'ready']])).toEqual(alike('measured_boot.invalid_pcr_4'))
})
test.each([
  ['no JSON', '\x1ehello', /record 1 is not JSON/],
  ['a PCR that does not exist', '\x1e{"pcr": 24, "digests": []}', /record 1 has no PCR/],
  ['no digests', '\x1e{"pcr": 11}', /record 1 has no PCR or no digests/],
  ['a digest of another size', '\x1e{"pcr": 11, "digests": [{"hashAlg": "sha256", "digest": "abcd"}]}', /2 bytes for sha256/],
  ['too many records', '\x1e{}'.repeat(5000), /more than 4096 records/],
])('a log of systemd with %s is malformed', (_what, text, message) => expect(() => parseSystemdLog(text)).toThrow(message))
test('records of other registers and unknown hashes are left aside', () =>
  expect(
    parseSystemdLog('\x1e{"nv_index": 1, "digests": []}\n\x1e{"pcr": 11, "digests": [{"hashAlg": "sm3-256", "digest": "00"}]}'),
  ).toEqual([{ pcr: 11, digests: new Map(), text: null }]))

test('the SHA-1 boot_aggregate of an old kernel follows from the boot log whose SHA-256 digests were quoted', async () => {
  const log = parseEventLog(fs.readFileSync(machineLogFile))
  const values = replayEventLog(log, 'sha1')
  const over = (last: number) => Array.from({ length: last + 1 }, (_, pcr) => values.get(pcr) ?? Buffer.alloc(20))
  const lineOf = (digest: Buffer) => imaLine(`ima-ng sha1:${digest.toString('hex')} boot_aggregate`)
  const verdict = async (digest: Buffer) => {
    const lines = [lineOf(digest)]
    const list = path.join(dir, 'old-kernel.txt')
    fs.writeFileSync(list, `${lines[0]}\n`)
    const pcrs = path.join(dir, 'old-kernel.pcrs.txt')
    const quoted = new Map([...machinePcrs(PCRS, 'sha256'), [10, pcr10After(lines)]])
    fs.writeFileSync(pcrs, `sha256:\n${[...quoted].map(([pcr, value]) => `  ${pcr}: 0x${value.toString('hex')}\n`).join('')}`)
    return judgeEverywhere({
      bootLog: machineLogFile,
      boot: '{"any": 1}',
      list,
      runtime: runtimePolicy({ digests: { '/x': ['aa'.repeat(32)] } }),
      pcrs,
    })
  }
  expect(
    ids(
      await verdict(
        createHash('sha1')
          .update(Buffer.concat(over(7)))
          .digest(),
      ),
    ),
  ).toEqual(alike())
  expect(ids(await verdict(createHash('sha1').update('another').digest()))).toEqual(alike('ima.validation.ima-ng.runtime_policy_hash'))
})

test('the log of a confidential virtual machine is refused by name, also as a copy of its memory', () => {
  const register: Record<number, number> = { 0: 1, 1: 1, 7: 1, 2: 2, 3: 2, 4: 2, 5: 2, 8: 3, 9: 3 }
  const events = machineEvents(SECURE).flatMap((event) => (event.pcr in register ? [{ ...event, pcr: register[event.pcr]! }] : []))
  for (const filling of [0, 4096])
    expect(() => parseEventLog(Buffer.concat([serialize(events), Buffer.alloc(filling, 0xff)]))).toThrow(
      /confidential virtual machine \(CCEL\)/,
    )
  expect(() => parseEventLog(Buffer.concat([serialize(machineEvents(SECURE)), Buffer.alloc(64, 0xff)]))).toThrow(
    /filled up with 0xff after event 46/,
  )
})
