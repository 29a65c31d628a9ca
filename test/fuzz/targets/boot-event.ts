import { dataCoverage } from '../../../src/core/measured-boot/event-digest.ts'
import { eventTypeName } from '../../../src/core/measured-boot/event-type.ts'
import { readEvent } from '../../../src/core/measured-boot/read-event.ts'
import { machineEvents } from '../../boot-log.ts'
import { demand, type Target } from '../target.ts'

const TYPES = [0x80000001, 0x80000002, 0x80000003, 0x8000000c, 0x800000e0, 0x80000006, 0x80000008, 0x8000000a, 0x0d, 0x05, 0x04]
const DIGEST = Buffer.alloc(32)

/** The data of an event by its type, which the first byte chooses: always read or left raw with a reason, never in more text than there are bytes. */
export const bootEvent: Target = {
  seeds: () =>
    machineEvents('secure-boot-ima-ng')
      .filter(({ type, data }) => TYPES.includes(type) && data.length < 4000)
      .map(({ type, data }) => Buffer.concat([Buffer.from([TYPES.indexOf(type)]), data])),
  words: ['SecureBoot', 'BootOrder', 'Boot0001', 'vendor_db', 'SbatLevel', 'MokListTrusted'].map((name) =>
    Buffer.from(name, 'utf16le').toString('latin1'),
  ),
  run(input) {
    const type = TYPES[(input[0] ?? 0) % TYPES.length]!
    const event = { number: 1, pcr: 4, type, digests: new Map([['sha256' as const, DIGEST]]), data: input.subarray(1) }
    const content = readEvent(event)
    const size = JSON.stringify(content).length
    demand(size <= 600 + 48 * input.length, () => `${eventTypeName(type)} of ${input.length} bytes is read as ${size} characters`)
    dataCoverage(event, 'sha256')
  },
}
