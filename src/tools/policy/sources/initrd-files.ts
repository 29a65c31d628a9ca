import fs from 'node:fs/promises'
import path from 'node:path'
import { readInitrd } from '../../../core/archive/initrd.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { decompress } from '../../../io/files/decompress.ts'
import type { DigestSource } from '../digest-source.ts'
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
        withStream(readable(file), (stream) => readInitrd(stream, files, decompress, MAX_ARCHIVE)),
      )
      context.tell(`${file}: ${count} files`)
    }
  },
}

async function initrdsIn(directory: string): Promise<string[]> {
  const entries = await naming(directory, () => fs.readdir(directory, { withFileTypes: true }))
  const files = entries.filter((entry) => entry.isFile() && entry.name.startsWith('initr')).map((entry) => path.join(directory, entry.name))
  if (files.length === 0)
    throw new KeylimeError('not_found', `there is no file initr* in ${directory}`, { hint: 'give a single one with --initrd FILE' })
  return files.sort()
}
