import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { ByteStream } from '../../../core/archive/byte-stream.ts'
import type { FileDigests } from '../../../core/archive/file-digests.ts'
import { readInitrd } from '../../../core/archive/initrd.ts'
import { eachUkiSection, isEfiProgram } from '../../../core/archive/uki.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { decompress } from '../../../io/files/decompress.ts'
import type { DigestSource, DigestSourceContext } from '../digest-source.ts'
import { addArchive, MAX_ARCHIVE, naming, readable, withStream } from './archive-limits.ts'

export interface InitrdOptions {
  initrd?: string[] | undefined
  /** Directory whose files `initr*` are read, such as /boot. */
  ramdiskDir?: string | undefined
}

/** What is in initial RAM disks; nothing is unpacked. */
export const initrdFiles: DigestSource<InitrdOptions> = {
  flags: '--initrd, --ramdisk-dir',
  isWanted: ({ initrd, ramdiskDir }) => Boolean(initrd?.length || ramdiskDir),

  async collect({ initrd, ramdiskDir }, context) {
    for (const file of [...(initrd ?? []), ...(ramdiskDir ? await initrdsIn(ramdiskDir) : [])]) {
      context.progress(`${file} …`)
      const count = await addArchive(file, context, (files) =>
        withStream(readable(file), (stream) => readDisk(stream, file, files, context)),
      )
      context.tell(`${file}: ${count} files`)
    }
  },
}

/** An initial RAM disk alone, or in a unified kernel image, of which the rest is told. */
async function readDisk(stream: ByteStream, file: string, files: FileDigests, { tell }: DigestSourceContext): Promise<void> {
  if (!isEfiProgram(Buffer.from(await stream.peek(2)))) return readInitrd(stream, files, decompress, MAX_ARCHIVE)
  let disks = 0
  await eachUkiSection(stream, async ({ name, size }, bytes) => {
    if (name === '.initrd') {
      await readInitrd(new ByteStream(bytes, MAX_ARCHIVE), files, decompress, MAX_ARCHIVE)
      disks++
    } else if (name === '.linux') tell(`${file}: its kernel (.linux) has ${size} bytes and SHA-256 ${await sha256Of(bytes)}`)
    else if (TEXTS.has(name)) tell(`${file}: ${TEXTS.get(name)} (${name}) is ${JSON.stringify(await textOf(bytes))}`)
  })
  if (disks === 0)
    throw new KeylimeError('archive_refused', `${file}: is an EFI program without an initial RAM disk (.initrd)`, {
      hint: 'a kernel alone has no files; its initial RAM disk is another file, or a unified kernel image has both',
    })
}

const TEXTS = new Map([
  ['.cmdline', 'its command line'],
  ['.uname', 'the version of its kernel'],
])
const MAX_TEXT = 16_384

async function sha256Of(bytes: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of bytes) hash.update(piece)
  return hash.digest('hex')
}

async function textOf(bytes: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const piece of bytes) text = (text + piece.toString('utf8')).slice(0, MAX_TEXT)
  return text.replace(/\0+$/, '').trim()
}

async function initrdsIn(directory: string): Promise<string[]> {
  const entries = await naming(directory, () => fs.readdir(directory, { withFileTypes: true }))
  const files = entries.filter((entry) => entry.isFile() && entry.name.startsWith('initr')).map((entry) => path.join(directory, entry.name))
  if (files.length === 0)
    throw new KeylimeError('not_found', `there is no file initr* in ${directory}`, { hint: 'give a single one with --initrd FILE' })
  return files.sort()
}
