/** Of the header of ICU's data. */
export const HEADER = 144

/** Common data of ICU with these items, as its tools write them. */
export function icuData(items: Readonly<Record<string, string>>): Buffer {
  const names = Object.keys(items).toSorted()
  const table = Buffer.alloc(4 + 8 * names.length)
  table.writeUInt32LE(names.length)
  const parts: Buffer[] = []
  let at = table.length
  const put = (bytes: Buffer) => {
    parts.push(bytes)
    at += bytes.length
    return at - bytes.length
  }
  for (const [i, name] of names.entries()) table.writeUInt32LE(put(Buffer.from(`${name}\0`)), 4 + 8 * i)
  put(Buffer.alloc(-at & 15, 0xaa))
  for (const [i, name] of names.entries()) table.writeUInt32LE(put(Buffer.from(items[name]!.padEnd(16, '\0'))), 8 + 8 * i)
  const header = Buffer.alloc(HEADER)
  header.writeUInt16LE(HEADER)
  header.write('CmnD', 12, 'latin1')
  return Buffer.concat([header, table, ...parts])
}
