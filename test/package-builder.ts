import { createHash } from 'node:crypto'

interface CpioFile {
  name: string
  content?: string | Buffer
  mode?: number
  inode?: number
  links?: number
}

/** A cpio archive of the form newc. */
export function buildCpio(files: readonly CpioFile[]): Buffer {
  const parts: Buffer[] = []
  const pad = (length: number) => Buffer.alloc((4 - (length % 4)) % 4)
  for (const [i, { name, content = '', mode = 0o100755, inode = i + 1, links = 1 }] of [
    ...files,
    { name: 'TRAILER!!!', mode: 0 },
  ].entries()) {
    const body = Buffer.from(content)
    const fields = [inode, mode, 0, 0, links, 0, body.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0]
    const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`)
    parts.push(head, pad(head.length), body, pad(body.length))
  }
  return Buffer.concat(parts)
}

interface TarEntry {
  name: string
  content?: string
  type?: string
  link?: string
}

/** A tar archive (ustar). */
export function buildTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.map(({ name, content = '', type = '0', link = '' }) => {
    const header = Buffer.alloc(512)
    const body = Buffer.from(content)
    header.write(name, 0)
    header.write('0000755\0', 100)
    header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124)
    header.write(type, 156)
    header.write(link, 157)
    header.write('ustar\x0000', 257)
    header.write('        ', 148)
    const sum = header.reduce((all, byte) => all + byte, 0)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)])
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

/** A Debian package around a data archive. */
export function buildDeb(data: Buffer, name = 'data.tar'): Buffer {
  const member = (title: string, body: Buffer) =>
    Buffer.concat([
      Buffer.from(
        `${title.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(body.length).padEnd(10)}\`\n`,
      ),
      body,
      Buffer.alloc(body.length % 2, '\n'),
    ])
  return Buffer.concat([Buffer.from('!<arch>\n'), member('debian-binary', Buffer.from('2.0\n')), member(name, data)])
}

interface RpmFile {
  path: string
  digest: string
  mode?: number
}

interface RpmOptions {
  algorithm?: number
  /** In place of the right one. */
  sha256?: string
  /** Signs the main header. */
  sign?: (header: Buffer) => Buffer
}

/** An RPM package without content: lead, signature header with the SHA-256 of the main one, main header. */
export function buildRpm(name: string, files: readonly RpmFile[], { algorithm = 8, sha256 = '', sign }: RpmOptions = {}): Buffer {
  const [texts, int16, int32, text] = [8, 3, 4, 6]
  const strings = (list: string[]) => Buffer.from(list.map((item) => `${item}\0`).join(''))
  const numbers = (list: number[], size: 2 | 4) => {
    const bytes = Buffer.alloc(size * list.length)
    for (const [i, value] of list.entries()) bytes.writeUIntBE(value, size * i, size)
    return bytes
  }
  const directories = [...new Set(files.map(({ path }) => path.replace(/[^/]*$/, '')))]
  const main = rpmHeader([
    [1000, text, 1, strings([name])],
    [
      1030,
      int16,
      files.length,
      numbers(
        files.map(({ mode = 0o100755 }) => mode),
        2,
      ),
    ],
    [1035, texts, files.length, strings(files.map(({ digest }) => digest))],
    [
      1116,
      int32,
      files.length,
      numbers(
        files.map(({ path }) => directories.indexOf(path.replace(/[^/]*$/, ''))),
        4,
      ),
    ],
    [1117, texts, files.length, strings(files.map(({ path }) => path.replace(/^.*\//, '')))],
    [1118, texts, directories.length, strings(directories)],
    [5011, int32, 1, numbers([algorithm], 4)],
  ])
  const signed = sign?.(main)
  const digest: RpmTag = [273, text, 1, strings([sha256 || createHash('sha256').update(main).digest('hex')])]
  const signature = rpmHeader(signed ? [[267, 7, signed.length, signed], digest] : [digest])
  const lead = Buffer.alloc(96)
  lead.writeUInt32BE(0xedabeedb)
  return Buffer.concat([lead, signature, Buffer.alloc((8 - (signature.length % 8)) % 8), main, Buffer.from('payload')])
}

type RpmTag = [tag: number, type: number, count: number, data: Buffer]

function rpmHeader(tags: readonly RpmTag[]): Buffer {
  const parts: Buffer[] = []
  let offset = 0
  const index = tags.map(([tag, type, count, data]) => {
    const gap = (4 - (offset % 4)) % 4
    parts.push(Buffer.alloc(gap), data)
    const entry = Buffer.alloc(16)
    for (const [i, value] of [tag, type, offset + gap, count].entries()) entry.writeUInt32BE(value, 4 * i)
    offset += gap + data.length
    return entry
  })
  const intro = Buffer.from(`8eade80100000000${'0'.repeat(16)}`, 'hex')
  intro.writeUInt32BE(tags.length, 8)
  intro.writeUInt32BE(offset, 12)
  return Buffer.concat([intro, ...index, ...parts])
}
