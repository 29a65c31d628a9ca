import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { parseBootPolicy } from '../../../src/core/measured-boot/boot-policy.ts'
import { createReferenceState } from '../../../src/core/measured-boot/create-reference-state.ts'
import { dataCoverage } from '../../../src/core/measured-boot/event-digest.ts'
import { type BootEventLog, parseEventLog } from '../../../src/core/measured-boot/event-log.ts'
import { readEvent } from '../../../src/core/measured-boot/read-event.ts'
import { pcrStart, replayEventLog } from '../../../src/core/measured-boot/replay.ts'
import { describeEvent, seeEvents } from '../../../src/core/measured-boot/see-events.ts'
import { digestSize, type HashName, hashAlgOf } from '../../../src/core/tpm/algorithms.ts'
import { logHeader, machineLog, replayedPcrs } from '../../boot-log.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const [EV_NO_ACTION, LOCALITY] = [3, Buffer.from('StartupLocality\0')]

/** The firmware's event log: written again it is the same; the replay is the plainest one; no event is ever more than a reader can bear; it is judged whatever it holds. */
export const bootLog: Target = {
  seeds: () => [
    ...['secure-boot-ima-ng', 'no-secure-boot'].map((machine) => machineLog(machine)),
    logHeader(),
    machineLog('no-secure-boot').subarray(0, 700),
    Buffer.concat([header(0, 8, 2), Buffer.from('v1'), header(4, 4, 4), Buffer.alloc(4)]),
  ],
  maxBytes: 16_384,
  run(input) {
    const log = unlessRefused(['malformed'], () => parseEventLog(input))
    if (!log) return
    const again = printed(log, input)
    if (again) assert.deepEqual(parseEventLog(again), log)
    for (const event of log.events) readEvent(event)
    for (const bank of log.banks) {
      assert.deepEqual(replayEventLog(log, bank), plainReplay(log, bank))
      for (let pcr = 0; pcr < 24; pcr += 7) pcrStart(log, pcr, bank)
      for (const event of log.events) dataCoverage(event, bank)
      for (const event of seeEvents(log, bank)) demand(describeEvent(event).length < 2000, 'the words of an event are too many')
    }
    judged(log, input)
  },
}

/** A machine that measured this log is judged by the state that is made of it, and by any other. */
function judged(log: BootEventLog, bytes: Buffer): void {
  const made = unlessRefused(['invalid_request'], () => createReferenceState(log, { withoutSecureBoot: true }))
  if (!made) return
  const policy = unlessRefused(['invalid_request'], () => parseBootPolicy(JSON.stringify(made.state), 'example'))
  for (const bank of log.banks) policy?.judge({ pcrs: replayedPcrs(bytes, bank), log: bytes, evaluate: true })
  const acceptAll = parseBootPolicy('{"any":1}', 'accept-all')!
  for (const bank of log.banks)
    demand(
      acceptAll.judge({ pcrs: replayedPcrs(bytes, bank), log: bytes, evaluate: true }).failures.length === 0,
      'its own PCRs are refused',
    )
}

function plainReplay(log: BootEventLog, bank: HashName): Map<number, Buffer> {
  const values = new Map<number, Buffer>()
  for (const { pcr, type, digests, data } of log.events) {
    const isLocality = pcr === 0 && data.length === 17 && data.subarray(0, 16).equals(LOCALITY)
    if (type === EV_NO_ACTION && isLocality && !values.has(0))
      values.set(0, Buffer.from([...Array(digestSize(bank) - 1).fill(0), data[16]!]))
    const digest = digests.get(bank)
    if (type === EV_NO_ACTION || !digest) continue
    values.set(
      pcr,
      createHash(bank)
        .update(Buffer.concat([values.get(pcr) ?? Buffer.alloc(digestSize(bank)), digest]))
        .digest(),
    )
  }
  return values
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const header = (pcr: number, type: number, size: number) => Buffer.concat([u32(pcr), u32(type), Buffer.alloc(20, 7), u32(size)])

/** Null for a log with algorithms that nobody here knows: their digests are not kept. */
function printed({ events, banks }: BootEventLog, input: Buffer): Buffer | null {
  const first = input.subarray(0, 32 + input.readUInt32LE(28))
  const isAgile = events.length === 0 || first.subarray(32, 48).equals(Buffer.from('Spec ID Event03\0'))
  if (!isAgile)
    return Buffer.concat(
      events.flatMap(({ pcr, type, digests, data }) => [u32(pcr), u32(type), digests.get('sha1')!, u32(data.length), data]),
    )
  if (first.readUInt32LE(32 + 24) !== banks.length) return null
  const body = events.flatMap(({ pcr, type, digests, data }) => [
    ...[pcr, type, digests.size].map(u32),
    ...[...digests].flatMap(([bank, digest]) => [Buffer.from([hashAlgOf(bank), 0]), digest]),
    ...[u32(data.length), data],
  ])
  return Buffer.concat([first, ...body])
}
