import { parseMountInfo } from '../../../src/io/files/mount-info.ts'
import { createLineSplitter } from '../../../src/io/programs/line-splitter.ts'
import { demand, type Target, text } from '../target.ts'

/** Lines that programs and the kernel print: cut the same way however they arrive, and each of a length for a log; mounts are whole or left out. */
export const machineLines: Target = {
  seeds: () => [
    text('22 27 0:21 / /proc rw,nosuid shared:12 - proc proc rw', '30 1 8:1 /a\\040b /mnt/with\\040blank ro - ext4 /dev/sda1 rw'),
    text('one', 'two\r', '', 'x'.repeat(5000)),
    Buffer.from('c3a9e282ac0af09f98800a', 'hex'),
  ],
  maxBytes: 8192,
  words: [' - ', '\\040', '\r\n', ' / '],
  run(input) {
    const whole = splitBy(input, input.length + 1)
    const pieces = splitBy(input, 1 + ((input[0] ?? 0) % 7))
    demand(JSON.stringify(whole) === JSON.stringify(pieces), 'lines depend on how they arrive')
    demand(
      whole.every((line) => line.length <= 4096 && !line.includes('\n')),
      'a line is too long',
    )
    const mounts = parseMountInfo(input.toString('utf8'))
    demand(
      mounts.every(({ options, superOptions }) => options.length > 0 && superOptions.length > 0),
      'a mount has no options',
    )
  },
}

function splitBy(input: Buffer, size: number): string[] {
  const lines: string[] = []
  const splitter = createLineSplitter((line) => lines.push(line))
  for (let at = 0; at < input.length; at += size) splitter.take(input.subarray(at, at + size))
  splitter.end()
  return lines
}
