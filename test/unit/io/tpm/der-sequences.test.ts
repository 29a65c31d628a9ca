import { derSequences } from '../../../../src/io/tpm/der-sequences.ts'

const short = Buffer.from('3003020101', 'hex')
const long = Buffer.concat([Buffer.from('30820100', 'hex'), Buffer.alloc(256, 1)])

test('concatenated certificates are cut apart', () => {
  expect(derSequences(Buffer.concat([short, long, short]))).toEqual([short, long, short])
})

test.each([0xff, 0x00])('padding with 0x%s is left out', (fill) => {
  expect(derSequences(Buffer.concat([long, Buffer.alloc(99, fill)]))).toEqual([long])
})

test.each([short, long])('one inside an octet string is taken out, whatever stands behind it', (inner) => {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(inner.length)
  expect(derSequences(Buffer.concat([Buffer.from('0482', 'hex'), size, inner, Buffer.alloc(9, 0xff)]))).toEqual([inner])
  if (inner.length < 128) expect(derSequences(Buffer.concat([Buffer.from([4, inner.length]), inner]))).toEqual([inner])
  expect(derSequences(Buffer.from('0482', 'hex'))).toEqual([])
})

test('one that is cut off, and nonsense, give nothing', () => {
  expect(derSequences(long.subarray(0, 100))).toEqual([])
  expect(derSequences(Buffer.from('3082', 'hex'))).toEqual([])
  expect(derSequences(Buffer.from('3080', 'hex'))).toEqual([])
  expect(derSequences(Buffer.from('3084ffffffff', 'hex'))).toEqual([])
  expect(derSequences(Buffer.alloc(0))).toEqual([])
})
