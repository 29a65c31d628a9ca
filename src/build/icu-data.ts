/**
 * ICU's data for every language of the world is a third of Node. keylime speaks English and knows Unicode: it needs the rules of characters, time zones and
 * the root, and none of the languages, encodings and dictionaries.
 *
 * The data is a header, a table of contents (number; offsets of name and item, each from the start of the table; sorted by name), the names, the items.
 */
export function withoutLanguages(data: Buffer): Buffer {
  const headerSize = data.readUInt16LE(0)
  if (data.toString('latin1', 12, 16) !== 'CmnD') throw new Error('these are not common data of ICU')
  const items = itemsOf(data.subarray(headerSize)).filter(({ name }) => isKept(name))
  if (!items.some(({ name }) => name.endsWith('/root.res'))) throw new Error('these data of ICU have no root')
  const names = items.map(({ name }) => `${name}\0`)
  const namesAt = 4 + 8 * items.length
  let nameAt = namesAt
  let itemAt = aligned(namesAt + names.join('').length)
  const table = Buffer.alloc(itemAt)
  table.writeUInt32LE(items.length, 0)
  const parts = [data.subarray(0, headerSize), table]
  for (const [i, { bytes }] of items.entries()) {
    table.writeUInt32LE(nameAt, 4 + 8 * i)
    table.writeUInt32LE(itemAt, 8 + 8 * i)
    table.write(names[i]!, nameAt, 'latin1')
    nameAt += names[i]!.length
    const padded = Buffer.alloc(aligned(bytes.length))
    bytes.copy(padded)
    parts.push(padded)
    itemAt += padded.length
  }
  return Buffer.concat(parts)
}

interface Item {
  name: string
  bytes: Buffer
}

function itemsOf(table: Buffer): Item[] {
  const starts = Array.from({ length: table.readUInt32LE(0) }, (_, i) => ({
    nameAt: table.readUInt32LE(4 + 8 * i),
    at: table.readUInt32LE(8 + 8 * i),
  }))
  return starts.map(({ nameAt, at }, i) => ({
    name: table.toString('latin1', nameAt, table.indexOf(0, nameAt)),
    bytes: table.subarray(at, starts[i + 1]?.at ?? table.length),
  }))
}

/** Names are `icudt78l/`, perhaps a directory, and a file: `lang/af.res`, `brkitr/thaidict.dict`, `ibm-943.cnv`. */
function isKept(name: string): boolean {
  const file = name.slice(name.lastIndexOf('/') + 1)
  if (/\.(cnv|dict)$/.test(file) || /\/(translit|rbnf)\//.test(name) || /_cj\.brk$/.test(file)) return false
  return !/^[a-z]{2,3}(_\w+)?\.res$/.test(file) || /^en(_US)?\.res$/.test(file)
}

const aligned = (size: number): number => Math.ceil(size / 16) * 16
