import { type ByteStream, refused } from './byte-stream.ts'
import { entryPath, type FileDigests } from './file-digests.ts'

const HEADER = 110
const MAGICS = new Set(['070701', '070702'])
const MAX_NAME = 4096
const TYPE = 0o170000
const REGULAR = 0o100000

/** Whether a cpio archive of the form `newc` begins here. */
export const isCpio = (magic: Buffer): boolean => MAGICS.has(magic.toString('latin1', 0, 6))

/** Reads one cpio archive up to its trailer. Of several names of one file, the last has the content. @throws KeylimeError `archive_refused`. */
export async function readCpio(stream: ByteStream, files: FileDigests): Promise<void> {
  const start = stream.position
  const align = () => stream.skip((4 - ((stream.position - start) % 4)) % 4)
  const waiting = new Map<string, string[]>()
  for (;;) {
    const header = await stream.take(HEADER)
    if (!isCpio(header)) throw refused('is not a cpio archive of the form newc, or is damaged')
    const field = (i: number) => hexField(header, 6 + 8 * i)
    const [inode, mode, links, size, device, nameSize] = [field(0), field(1), field(4), field(6), `${field(7)}:${field(8)}`, field(11)]
    if (nameSize === 0 || nameSize > MAX_NAME) throw refused(`has a name of ${nameSize} bytes`)
    const name = (await stream.take(nameSize)).toString('utf8', 0, nameSize - 1)
    await align()
    if (name === 'TRAILER!!!') break
    const isFile = (mode & TYPE) === REGULAR
    const key = `${device}:${inode}`
    if (isFile && links > 1 && size === 0) waiting.set(key, [...(waiting.get(key) ?? []), entryPath(name)])
    else if (isFile) {
      const path = entryPath(name)
      files.begin(path)
      await stream.each(size, files.chunk)
      files.end()
      for (const other of waiting.get(key) ?? []) files.link(other, path)
      waiting.delete(key)
    } else await stream.skip(size)
    await align()
  }
  for (const path of [...waiting.values()].flat()) {
    files.begin(path) // the content of all its names is empty
    files.end()
  }
}

function hexField(header: Buffer, at: number): number {
  const text = header.toString('latin1', at, at + 8)
  if (!/^[0-9a-fA-F]{8}$/.test(text)) throw refused('has a damaged cpio header')
  return Number.parseInt(text, 16)
}
