/** An executable as the linker of arm64 makes Node: one segment of code with ICU's data in it, one of data, notes; no row of the table is free. */
export function arm64Node(languages: Buffer): Buffer {
  const [codeAt, dataAt] = [0x1000, 0x1000 + Math.ceil(languages.length / PAGE) * PAGE]
  const bytes = Buffer.alloc(dataAt + GAP + 0x1000)
  bytes.fill(0xc0, codeAt - 0x100, codeAt) // code before the data of ICU, and behind it
  languages.copy(bytes, codeAt)
  bytes.fill(0xc1, codeAt + languages.length, dataAt)
  bytes.fill(0xda, dataAt + GAP, dataAt + GAP + 0x800)
  const names = Buffer.from('\0.symtab\0.strtab\0')
  const tables = dataAt + GAP + 0x800
  writeHeader(bytes, tables)
  const rows = [
    { type: 6, flags: 4, offset: 64, address: BASE + 64, size: 4 * 56 },
    { type: 1, flags: 5, offset: 0, address: BASE, size: dataAt },
    { type: 1, flags: 6, offset: dataAt + GAP, address: BASE + dataAt + GAP + PAGE, size: 0x800 },
    { type: 4, flags: 4, offset: 0x200, address: BASE + 0x200, size: 0x20 },
  ]
  rows.forEach((row, i) => {
    writeRow(bytes, 64 + i * 56, row)
  })
  const symbols = Buffer.alloc(48)
  symbols.writeUInt32LE(1, 24)
  symbols.writeBigUInt64LE(BigInt(BASE + codeAt), 32)
  symbols.writeBigUInt64LE(BigInt(languages.length), 40)
  const texts = Buffer.from('\0icudt78_dat\0')
  const at = { names: tables + 256, symbols: tables + 320, texts: tables + 400 }
  names.copy(bytes, at.names)
  symbols.copy(bytes, at.symbols)
  texts.copy(bytes, at.texts)
  writeSection(bytes, tables + 64, { name: 1, type: 2, offset: at.symbols, size: 48, link: 2 })
  writeSection(bytes, tables + 128, { name: 9, type: 3, offset: at.texts, size: texts.length, link: 0 })
  writeSection(bytes, tables + 192, { name: 9, type: 3, offset: at.names, size: names.length, link: 0 })
  return bytes
}

export const BASE = 0x400000
const PAGE = 0x10000
/** Between the segments of the file. */
const GAP = 0x8000

function writeHeader(bytes: Buffer, sectionsAt: number): void {
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(bytes)
  bytes.writeUInt16LE(2, 16)
  bytes.writeUInt16LE(183, 18)
  bytes.writeBigUInt64LE(BigInt(BASE + 0xf00), 24)
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeBigUInt64LE(BigInt(sectionsAt), 40)
  for (const [i, word] of [64, 56, 4, 64, 4, 3].entries()) bytes.writeUInt16LE(word, 52 + 2 * i)
}

function writeRow(bytes: Buffer, at: number, row: { type: number; flags: number; offset: number; address: number; size: number }): void {
  bytes.writeUInt32LE(row.type, at)
  bytes.writeUInt32LE(row.flags, at + 4)
  for (const [i, value] of [row.offset, row.address, row.address, row.size, row.size, PAGE].entries())
    bytes.writeBigUInt64LE(BigInt(value), at + 8 + 8 * i)
}

function writeSection(
  bytes: Buffer,
  at: number,
  section: { name: number; type: number; offset: number; size: number; link: number },
): void {
  bytes.writeUInt32LE(section.name, at)
  bytes.writeUInt32LE(section.type, at + 4)
  bytes.writeBigUInt64LE(BigInt(section.offset), at + 24)
  bytes.writeBigUInt64LE(BigInt(section.size), at + 32)
  bytes.writeUInt32LE(section.link, at + 40)
}
