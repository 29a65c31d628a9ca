import { decodePcrBlob, encodePcrBlob } from '../../../../src/core/quote/pcr-blob.ts'

const values = new Map(Array.from({ length: 10 }, (_, pcr) => [pcr, Buffer.alloc(32, pcr + 1)]))
const blob = encodePcrBlob({ hash: 'sha256', values })
const changed = (change: (copy: Buffer) => void) => {
  const copy = Buffer.from(blob)
  change(copy)
  return copy
}
const DIGESTS = 4 + 16 * 8 + 4
const LIST = 4 + 8 * 66

test('what is written is read again', () => {
  expect(decodePcrBlob(blob)).toEqual({ hash: 'sha256', values })
})

test.each<[string, Buffer, RegExp]>([
  ['nothing', Buffer.alloc(0), /has 0 bytes/],
  ['a beginning', blob.subarray(0, 20), /has 20 bytes/],
  ['a list that is cut', blob.subarray(0, -1), /has \d+ bytes/],
  ['a byte behind the last list', Buffer.concat([blob, Buffer.alloc(1)]), /has \d+ bytes/],
  ['two banks', changed((b) => b.writeUInt32LE(2, 0)), /exactly one PCR bank/],
  ['a bank of no algorithm', changed((b) => b.writeUInt16LE(0x7fff, 4)), /algorithm/],
  ['a selection of 5 bytes', changed((b) => b.writeUInt8(5, 6)), /selection of 5 bytes/],
  ['a selection of 4 bytes, more than a TPM has PCRs', changed((b) => b.writeUInt8(4, 6)), /selection of 4 bytes/],
  ['a selection of 2 bytes, where its maker writes 3', changed((b) => b.writeUInt8(2, 6)), /canonical/],
  ['fewer lists than PCRs', blob.subarray(0, -LIST), /number of digest lists/],
  ['a wrong count of lists', changed((b) => b.writeUInt32LE(0xffffffff, DIGESTS - 4)), /number of digest lists/],
  ['a wrong count of digests', changed((b) => b.writeUInt32LE(7, DIGESTS)), /number of digests/],
  ['a wrong count in the last list', changed((b) => b.writeUInt32LE(0xffffffff, DIGESTS + LIST)), /number of digests/],
  ['a digest of another size', changed((b) => b.writeUInt16LE(20, DIGESTS + 4)), /another size than sha256/],
  ['a byte behind a digest', changed((b) => b.writeUInt8(1, DIGESTS + 4 + 2 + 32)), /canonical/],
  ['a digest more than its list says', changed((b) => b.writeUInt8(1, blob.length - 1)), /canonical/],
])('%s is no PCR blob', (_, bytes, reason) => {
  expect(() => decodePcrBlob(bytes)).toThrow(expect.objectContaining({ code: 'malformed', message: expect.stringMatching(reason) }))
})

test.each([0, 1, 8, 10, 24])('of %i PCRs: whichever byte is changed, what is read is what is written for it, to the last byte', (count) => {
  const some = encodePcrBlob({
    hash: 'sha256',
    values: new Map(Array.from({ length: count }, (_, pcr) => [pcr, Buffer.alloc(32, pcr + 1)])),
  })
  let read = 0
  for (let at = 0; at < some.length; at++)
    for (const bit of [0x01, 0x80]) {
      const other = Buffer.from(some)
      other[at]! ^= bit
      let decoded: ReturnType<typeof decodePcrBlob>
      try {
        decoded = decodePcrBlob(other)
      } catch {
        continue
      }
      read++
      expect(encodePcrBlob(decoded).equals(other)).toBe(true)
    }
  expect(read).toBeGreaterThanOrEqual(count * 32 * 2)
})
