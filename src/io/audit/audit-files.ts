import fs from 'node:fs/promises'
import path from 'node:path'
import { type ChainTail, readTail } from './chain-tail.ts'

const MAX_FILES = 10_000

/** Where a full file goes; names sort in the order of the lines. @param seq of its last line. */
export const rotatedName = (file: string, seq: number): string => `${file}.${String(seq).padStart(12, '0')}`

/** Files of the same log that were renamed, by this program or another one, oldest first. What is compressed or no audit log is left out. */
export async function rotatedFiles(file: string): Promise<{ file: string; tail: ChainTail }[]> {
  const directory = path.dirname(file)
  const name = path.basename(file)
  const names = await fs.readdir(directory).catch(() => [])
  const siblings = names.filter((n) => n !== name && /^[.-]/.test(n.slice(name.length)) && n.startsWith(name) && n !== `${name}.lock`)
  const found: { file: string; tail: ChainTail }[] = []
  for (const sibling of siblings.slice(0, MAX_FILES)) {
    const tail = await tailOf(path.join(directory, sibling))
    if (tail) found.push({ file: path.join(directory, sibling), tail })
  }
  return found.sort((a, b) => Date.parse(a.tail.time) - Date.parse(b.tail.time) || a.tail.head.seq - b.tail.head.seq)
}

async function tailOf(file: string): Promise<ChainTail | null> {
  try {
    const stat = await fs.lstat(file)
    if (!stat.isFile() || stat.size === 0) return null
    const handle = await fs.open(file, 'r')
    try {
      return await readTail(handle, stat.size)
    } finally {
      await handle.close()
    }
  } catch {
    return null
  }
}
