import fc from 'fast-check'
import { parseBootPolicy } from '../../../../src/core/measured-boot/boot-policy.ts'
import { parseEventLog } from '../../../../src/core/measured-boot/event-log.ts'
import { replayEventLog } from '../../../../src/core/measured-boot/replay.ts'
import { describeEvent, seeEvents } from '../../../../src/core/measured-boot/see-events.ts'
import { verifyQuote } from '../../../../src/core/quote/verify-quote.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { machineFile, machinePcrs, machineQuote } from '../../../machines.ts'
import { runs } from '../../../thorough.ts'

const MACHINES = ['secure-boot-ima-ng', 'no-secure-boot'] as const
const quoted = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]

function verifiedPcrs(machine: string) {
  const { text, nonce, ak } = machineQuote(machine)
  const verdict = verifyQuote(text, { ak: parsePublicArea(ak), nonce, hash: 'sha256', pcrs: quoted })
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.failures))
  return verdict.pcrs
}
const policy = parseBootPolicy('{"any": 1}', 'accept-all')!
const ids = (machine: string, log: Buffer | null, evaluate = true, judge = policy) =>
  judge.judge({ pcrs: verifiedPcrs(machine), log, evaluate }).failures.map((f) => f.eventId)

test.each([...MACHINES, 'quote-ecc'])('the quote of the real machine %s verifies, and covers its PCRs', (machine) => {
  const values = machinePcrs(machine, 'sha256')
  for (const [pcr, value] of verifiedPcrs(machine).values) expect(value).toEqual(values.get(pcr))
})

describe.each(MACHINES)('the boot log of %s', (machine) => {
  const log = machineFile(machine, 'uefi.bin')
  test('replays to the PCRs of the TPM in both banks', () => {
    const parsed = parseEventLog(log)
    expect(parsed.banks).toEqual(['sha1', 'sha256'])
    for (const bank of parsed.banks)
      for (const [pcr, value] of replayEventLog(parsed, bank)) expect([pcr, value]).toEqual([pcr, machinePcrs(machine, bank).get(pcr)])
  })
  test('is accepted with the quote of its machine', () => {
    const verdict = policy.judge({ pcrs: verifiedPcrs(machine), log, evaluate: true })
    expect(verdict.failures).toEqual([])
    expect([...verdict.bootAggregates].map((a) => a.hash)).toEqual(['sha256', 'sha256', 'sha1', 'sha1'])
  })
  test('is refused when it has no digests of the bank that was quoted', () => {
    const sha384 = { hash: 'sha384', values: new Map(policy.pcrs.map((pcr) => [pcr, Buffer.alloc(48)])) } as never
    const { failures, bootAggregates } = policy.judge({ pcrs: sha384, log, evaluate: true })
    expect([failures.map((f) => f.eventId), bootAggregates]).toEqual([['measured_boot.parser.invalid_pcrs_hashes'], []])
    expect(failures[0]!.context).toMatchObject({ got: ['sha1', 'sha256'], expected: ['sha384'] })
  })
  test('is refused with the quote of another machine, which names the PCRs and their events', () => {
    const other = MACHINES.find((m) => m !== machine)!
    const verdict = policy.judge({ pcrs: verifiedPcrs(other), log, evaluate: true })
    expect(verdict.failures.map((f) => f.eventId)).toContain('measured_boot.invalid_pcr_7')
    expect(verdict.bootAggregates).toEqual([])
    const seven = verdict.failures.find((f) => f.eventId === 'measured_boot.invalid_pcr_7')!
    expect(seven.context['events']).toEqual(
      expect.arrayContaining([expect.stringContaining('EV_EFI_VARIABLE_DRIVER_CONFIG (Secure Boot state)')]),
    )
  })
  test('is refused when a digest of the quoted bank was changed', () => {
    const parsed = parseEventLog(log)
    const event = parsed.events.find((e) => e.pcr === 4 && e.type !== 3)!
    const at = log.indexOf(event.digests.get('sha256')!)
    const changed = Buffer.from(log)
    changed[at]! ^= 1
    expect(ids(machine, changed)).toEqual(['measured_boot.invalid_pcr_4'])
  })
  test('is refused when it is cut anywhere', () => {
    for (let end = 1; end < log.length; end += 997) expect(ids(machine, log.subarray(0, end)).length).toBeGreaterThan(0)
  })
})

test('a machine that sends no boot log fails for each quoted PCR', () =>
  expect(ids('no-secure-boot', null)).toEqual(expect.arrayContaining(['pcr_validation.unused_pcr_0', 'pcr_validation.unused_pcr_15'])))
test('reject-all refuses a machine that is as it should be, but only when it is evaluated', () => {
  const reject = parseBootPolicy('{"any": 1}', 'reject-all')!
  const log = machineFile('no-secure-boot', 'uefi.bin')
  expect(ids('no-secure-boot', log, true, reject)).toEqual(['measured_boot.policy_reject-all'])
  expect(ids('no-secure-boot', log, false, reject)).toEqual([])
})
test.each(['', '{}', 'null', ' '])('the reference state %j demands nothing', (text) =>
  expect(parseBootPolicy(text, 'accept-all')).toBeNull(),
)
test.each(['[]', '7', '{', '"x"'])('the reference state %j is refused', (text) =>
  expect(() => parseBootPolicy(text, 'accept-all')).toThrow(/measured boot policy/),
)

test('events are told with what they stand for', () => {
  const told = seeEvents(parseEventLog(machineFile('secure-boot-ima-ng', 'uefi.bin')), 'sha256').map(describeEvent)
  expect(told).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^event 4 EV_EFI_VARIABLE_DRIVER_CONFIG \(Secure Boot state\)$/),
      expect.stringMatching(/EV_IPL \(GRUB command "boot"\)/),
    ]),
  )
})

const header = machineFile('no-secure-boot', 'uefi.bin').subarray(0, 0x45)
const u32 = (n: number) => {
  const b = Buffer.alloc(4)
  b.writeUInt32LE(n >>> 0)
  return b
}
test.each([
  ['2^32-1 digests', Buffer.concat([u32(0), u32(4), u32(0xffffffff)])],
  ['data of 2^32-1 bytes', Buffer.concat([u32(0), u32(4), u32(0), u32(0xffffffff)])],
  ['a PCR that does not exist', Buffer.concat([u32(24), u32(4), u32(0), u32(0)])],
  ['a digest of an undeclared algorithm', Buffer.concat([u32(0), u32(4), u32(1), Buffer.from([0x34, 0x12]), Buffer.alloc(64)])],
])('a log whose event has %s is malformed', (_name, event) =>
  expect(() => parseEventLog(Buffer.concat([header, event]))).toThrow(/boot log/),
)

test('random bytes and random changes never crash and never pass', () => {
  const log = machineFile('no-secure-boot', 'uefi.bin')
  const pcrs = verifiedPcrs('no-secure-boot')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(log.length - 1), fc.integer({ min: 1, max: 255 }), (bytes, position, change) => {
      expect(policy.judge({ pcrs, log: Buffer.from(bytes), evaluate: true }).failures.length).toBeGreaterThan(0)
      const changed = Buffer.from(log)
      changed[position]! ^= change
      policy.judge({ pcrs, log: changed, evaluate: true }) // data of an event may change without a verdict: it is not believed
    }),
    { numRuns: runs(300, 100) },
  )
})
