import { childrenOf, type DerElement, readBitString, readElement, readInteger, readOid, readTime } from '../../../src/core/pki/der.ts'
import { derDefect } from '../../../src/core/pki/der-defect.ts'
import { derBits, derInteger, derOid, der as element } from '../../../src/core/pki/der-writer.ts'
import { derSequences } from '../../../src/io/tpm/der-sequences.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const MALFORMED = ['malformed']

/** ASN.1 in DER: what is strict is the same when it is written again. */
export const der: Target = {
  seeds: () => [
    machineFile('secure-boot-ima-ng', 'ek-rsa.der'),
    Buffer.from('3006020101020200ff', 'hex'),
    Buffer.from('300d06092a864886f70d0101010500', 'hex'),
    Buffer.from('3011170d3236303130313030303030305a0101ff', 'hex'),
    Buffer.from('310602010102010205000303000100', 'hex'),
  ],
  run(input) {
    const outer = unlessRefused(MALFORMED, () => readElement(input))
    if (outer) {
      const isStrict = unlessRefused(MALFORMED, () => derDefect(input) === undefined) ?? false
      demand(!isStrict || outer.bytes.equals(input), 'strict DER has bytes behind it')
      walk(outer, isStrict, 0)
    }
    const sequences = derSequences(input)
    demand(
      sequences.length <= 16 && sequences.every((bytes) => readElement(bytes).bytes.equals(bytes)),
      'a sequence of an NV index is cut wrongly',
    )
    demand(input.includes(Buffer.concat(sequences)), 'the sequences are not in the bytes')
  },
}

function walk(one: DerElement, isStrict: boolean, depth: number): void {
  if (isStrict) demand(element(one.tag, one.content).equals(one.bytes), 'an element is another when it is written again')
  const integer = unlessRefused(MALFORMED, () => readInteger(one))
  if (integer !== null && isStrict && integer >= 0n) demand(derInteger(integer).equals(one.bytes), 'an integer is another')
  const oid = unlessRefused(MALFORMED, () => readOid(one))
  if (oid !== null && isPlain(one.content))
    demand(derOid(oid).equals(one.bytes) || !isStrict, () => `the object identifier ${oid} is another`)
  const bits = unlessRefused(MALFORMED, () => readBitString(one))
  if (bits !== null && isStrict && one.content[0] === 0) demand(derBits(bits).equals(one.bytes), 'a bit string is another')
  const time = unlessRefused(MALFORMED, () => readTime(one))
  demand(time === null || Number.isFinite(time), 'a date is no time')
  if (!(one.tag & 0x20) || depth > 8) return
  const children = unlessRefused(MALFORMED, () => childrenOf(one))
  if (!children) return
  demand(Buffer.concat(children.map(({ bytes }) => bytes)).equals(one.content), 'the parts are not the whole')
  for (const child of children) walk(child, isStrict, depth + 1)
}

/** Arcs of at most four bytes, each in its shortest form. */
const isPlain = (content: Buffer) =>
  content.at(-1)! < 0x80 &&
  !/(?:^|[0-7][0-9a-f])80/.test(content.toString('hex')) &&
  !/(?:[89a-f][0-9a-f]){4}/.test(content.toString('hex'))
