import { type ByteStream, refused } from './byte-stream.ts'

const MAGIC = '!<arch>\n'
const HEADER = 60

/** Members of an `ar` archive, which a .deb is. Each must be read through `part` or is skipped. @throws KeylimeError `archive_refused`. */
export async function* readAr(stream: ByteStream): AsyncGenerator<{ name: string; size: number }> {
  if ((await stream.peek(MAGIC.length)).toString('latin1') !== MAGIC) throw refused('is not a Debian package')
  await stream.skip(MAGIC.length)
  while ((await stream.peek(1)).length > 0) {
    const header = (await stream.take(HEADER)).toString('latin1')
    const [, size] = /^(\d{1,10}) *$/.exec(header.slice(48, 58)) ?? []
    if (!size || !header.endsWith('`\n')) throw refused('has a damaged member')
    const end = stream.position + Number(size)
    yield { name: header.slice(0, 16).trimEnd().replace(/\/$/, ''), size: Number(size) }
    await stream.skip(end - stream.position)
    if (Number(size) % 2 === 1 && (await stream.peek(1)).length > 0) await stream.skip(1)
  }
}
