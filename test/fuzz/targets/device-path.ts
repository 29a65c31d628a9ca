import { devicePathText } from '../../../src/core/measured-boot/device-path.ts'
import { readEvent } from '../../../src/core/measured-boot/read-event.ts'
import { machineEvents } from '../../boot-log.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const END = Buffer.from('7fff0400', 'hex')
const node = (type: number, subtype: number, hex: string) => {
  const body = Buffer.from(hex, 'hex')
  const head = Buffer.from([type, subtype, 0, 0])
  head.writeUInt16LE(4 + body.length, 2)
  return Buffer.concat([head, body])
}

/** UEFI device paths: plain text in any case, and the same whatever stands behind the end. */
export const devicePath: Target = {
  seeds: () => [
    ...machineEvents('secure-boot-ima-ng')
      .filter((event) => readEvent(event).kind === 'image')
      .map(({ data }) => data.subarray(32)),
    ...SAMPLES.map((sample) => Buffer.concat([sample, END])),
  ],
  maxBytes: 1024,
  run(input) {
    const text = unlessRefused(['malformed'], () => devicePathText(input))
    if (text === null) return
    demand(/^[\x20-\x7e]*$/.test(text), () => `it has other characters than printable ones: ${JSON.stringify(text)}`)
    demand(text.length <= 64 * (input.length + 1), `${text.length} characters of ${input.length} bytes`)
    const ended = Buffer.concat([input, END])
    const first = unlessRefused(['malformed'], () => devicePathText(ended))
    if (first !== null) demand(devicePathText(Buffer.concat([ended, Buffer.from('behind')])) === first, 'bytes behind the end count')
  },
}

const SAMPLES = [
  ...[1, 2, 5, 10, 11, 12, 13, 15, 16, 17, 18, 20, 23, 24, 25, 26, 29, 31].map((subtype) => node(3, subtype, '01'.repeat(60))),
  ...[1, 2, 3, 4, 6, 7, 8].map((subtype) => node(4, subtype, '02'.repeat(38))),
  Buffer.concat([node(2, 1, 'd041030a00000000'), node(1, 1, '0203'), node(127, 1, ''), node(1, 5, '01000000')]),
]
