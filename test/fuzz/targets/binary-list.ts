import assert from 'node:assert/strict'
import { isBinaryList, readBinaryList } from '../../../src/core/ima/binary-list.ts'
import { readEntry } from '../../../src/core/ima/entry.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const sized = (...parts: readonly Buffer[]) => Buffer.concat(parts.flatMap((part) => [u32(part.length), part]))
const DIGEST = Buffer.concat([Buffer.from('sha256:\0'), Buffer.alloc(32, 0x33)])
const name = (path: string) => Buffer.from(`${path}\0`)

function entry(template: string, fields: Buffer): Buffer {
  return Buffer.concat([u32(10), Buffer.alloc(20, 0x44), sized(Buffer.from(template), fields)])
}

/** The kernel's list in binary form: each of its entries is one line, which a reader of the text form can take, and what stands in a line is of the bytes. */
export const binaryList: Target = {
  seeds: () => [
    Buffer.concat([entry('ima-ng', sized(DIGEST, name('boot_aggregate'))), entry('ima-ng', sized(DIGEST, name('/bin/a b')))]),
    entry('ima-sig', sized(DIGEST, name('/bin/a'), Buffer.from('0302', 'hex'))),
    entry('ima-buf', sized(DIGEST, name('.ima'), Buffer.from('308201', 'hex'))),
    entry('d-ng|n-ng|iuid', sized(DIGEST, name('/bin/a'), u32(0))),
    Buffer.concat([u32(10), Buffer.alloc(20, 1), sized(Buffer.from('ima')), Buffer.alloc(20, 2), sized(Buffer.from('/etc/x'))]),
  ],
  words: ['ima-ng', 'ima-sig', 'd-ng|n-ng', 'sha256:\0', '\n'],
  run(input) {
    if (!isBinaryList(input)) return
    const lines = unlessRefused(['malformed'], () => [...readBinaryList(input)])
    if (!lines) return
    demand(lines.length * 24 <= input.length, 'there are more entries than bytes for them')
    demand(lines.join('').length <= 64 + 8 * input.length, 'the lines are more than the bytes')
    for (const line of lines) {
      demand(!line.includes('\n'), () => `an entry is two lines: ${JSON.stringify(line.slice(0, 200))}`)
      readEntry(line)
    }
    assert.deepEqual([...readBinaryList(input)], lines)
  },
}
