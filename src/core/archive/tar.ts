import { type ByteStream, refused } from './byte-stream.ts'
import { entryPath, type FileDigests } from './file-digests.ts'

const BLOCK = 512
/** Long names and attributes are texts of a few kilobytes. */
const MAX_TEXT = 1 << 20

/** Reads a tar archive: ustar, GNU's long names, attributes of pax. @throws KeylimeError `archive_refused`. */
export async function readTar(stream: ByteStream, files: FileDigests): Promise<void> {
  let next: { path?: string | undefined; link?: string | undefined; size?: number | undefined } = {}
  for (;;) {
    const header = await stream.take(BLOCK)
    if (header.every((byte) => byte === 0)) return
    checkSum(header)
    const type = header.toString('latin1', 156, 157)
    const size = next.size ?? numberField(header, 124, 12)
    if (type === 'L' || type === 'K') next = { ...next, [type === 'L' ? 'path' : 'link']: textOf(await content(stream, size)) }
    else if (type === 'x') next = { ...next, ...attributes(await content(stream, size)) }
    else {
      const path = next.path ?? ustarName(header)
      if (type === '0' || type === '\0' || type === '7') {
        files.begin(entryPath(path))
        await stream.each(size, files.chunk)
        files.end()
        await stream.skip(padding(size))
      } else if (type === '1') {
        files.link(entryPath(path), entryPath(next.link ?? textOf(header.subarray(157, 257))))
        await stream.skip(size + padding(size))
      } else await stream.skip(size + padding(size))
      next = {}
    }
  }
}

const padding = (size: number) => (BLOCK - (size % BLOCK)) % BLOCK

async function content(stream: ByteStream, size: number): Promise<Buffer> {
  if (size > MAX_TEXT) throw refused(`has a name of ${size} bytes`)
  const bytes = Buffer.from(await stream.take(size))
  await stream.skip(padding(size))
  return bytes
}

const textOf = (bytes: Buffer): string => {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
}

function ustarName(header: Buffer): string {
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? textOf(header.subarray(345, 500)) : ''
  const name = textOf(header.subarray(0, 100))
  return prefix ? `${prefix}/${name}` : name
}

/** Octal, or for large values base 256. */
function numberField(header: Buffer, at: number, size: number): number {
  if (header[at]! & 0x80) {
    const value = header.readUIntBE(at + size - 6, 6)
    if (header.subarray(at + 1, at + size - 6).some((byte) => byte !== 0)) throw refused('has an entry of impossible size')
    return value
  }
  const text = textOf(header.subarray(at, at + size)).trim()
  if (!/^[0-7]*$/.test(text)) throw refused('has a damaged tar header')
  return text === '' ? 0 : Number.parseInt(text, 8)
}

function checkSum(header: Buffer): void {
  let sum = 8 * 32
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i]!
  if (numberField(header, 148, 8) !== sum) throw refused('is not a tar archive, or is damaged')
}

/** `LENGTH name=value` lines of pax. */
function attributes(bytes: Buffer): { path?: string; link?: string; size?: number } {
  const found: { path?: string; link?: string; size?: number } = {}
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(32, at)
    const length = Number(bytes.toString('latin1', at, space))
    if (space < 0 || !Number.isInteger(length) || length <= space - at || at + length > bytes.length)
      throw refused('has damaged attributes')
    const [, name, value] = /^([^=]*)=([\s\S]*)\n$/.exec(bytes.toString('utf8', space + 1, at + length)) ?? []
    if (name === 'path') found.path = value!
    if (name === 'linkpath') found.link = value!
    if (name === 'size' && /^\d{1,15}$/.test(value!)) found.size = Number(value)
    at += length
  }
  return found
}
