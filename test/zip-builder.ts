import { crc32, deflateRawSync } from 'node:zlib'

/** An entry of a zip made byte by byte: every field can be a lie. */
export interface RawEntry {
  name: string | Buffer
  data?: Buffer
  /** Unix mode with the type in its upper bits. */
  mode?: number
  deflate?: boolean
  flags?: number
  method?: number
  /** Lies. */
  uncompressedSize?: number
  crc?: number
  versionMadeBy?: number
}

/** A zip archive that no honest tool would make. */
export function buildZip(entries: RawEntry[]): Buffer {
  const locals: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const entry of entries) {
    const name = Buffer.from(entry.name)
    const data = entry.data ?? Buffer.alloc(0)
    const body = entry.deflate ? deflateRawSync(data) : data
    const head = Buffer.alloc(26)
    head.writeUInt16LE(20, 0)
    head.writeUInt16LE(entry.flags ?? 0, 2)
    head.writeUInt16LE(entry.method ?? (entry.deflate ? 8 : 0), 4)
    head.writeUInt32LE(0x21 << 16, 6)
    head.writeUInt32LE(entry.crc ?? crc32(data), 10)
    head.writeUInt32LE(body.length, 14)
    head.writeUInt32LE(entry.uncompressedSize ?? data.length, 18)
    head.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), head, name, body])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(((entry.mode ?? 0o100600) << 16) >>> 0, 6)
    tail.writeUInt32LE(offset, 10)
    const made = Buffer.alloc(2)
    made.writeUInt16LE(entry.versionMadeBy ?? (3 << 8) | 20, 0)
    central.push(Buffer.concat([Buffer.from('PK\x01\x02'), made, head, tail, name]))
    locals.push(local)
    offset += local.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(18)
  end.writeUInt16LE(entries.length, 4)
  end.writeUInt16LE(entries.length, 6)
  end.writeUInt32LE(directory.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...locals, directory, Buffer.from('PK\x05\x06'), end])
}
