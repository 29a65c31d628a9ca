import fc from 'fast-check'
import { ByteCollector } from '../../../../src/io/http/byte-collector.ts'

test('gives the chunks in their order, however they come', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (chunks) => {
      const buffers = chunks.map((chunk) => Buffer.from(chunk))
      const collector = new ByteCollector(buffers.reduce((sum, buffer) => sum + buffer.length, 0))
      for (const buffer of buffers) collector.add(buffer)
      expect(collector.bytes()).toEqual(Buffer.concat(buffers))
      expect(collector.length).toBe(Buffer.concat(buffers).length)
    }),
  )
})

test('a chunk that came first is not written over', () => {
  const first = Buffer.from('ab')
  const collector = new ByteCollector(10)
  for (const chunk of [first, Buffer.from('cd'), Buffer.from('ef')]) collector.add(chunk)
  expect([first.toString(), collector.bytes().toString()]).toEqual(['ab', 'abcdef'])
})
