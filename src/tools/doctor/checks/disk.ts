import fs from 'node:fs/promises'
import { causeChain } from '../../../core/errors.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, note, warning, error } = findingsOf('disk')

const MIB = 1 << 20

export interface SeenDisk {
  readonly directory: string
  /** For an ordinary user. */
  readonly freeBytes: number
  /** Files that can still be made; undefined where the file system does not count them. */
  readonly freeFiles: number | undefined
}

/** Room for state and logs. */
export async function checkDisk({ where: { keylimeDir } }: Subject): Promise<Finding[]> {
  try {
    const { bavail, bsize, files, ffree } = await fs.statfs(keylimeDir)
    return judgeDisk({ directory: keylimeDir, freeBytes: bavail * bsize, freeFiles: files === 0 ? undefined : ffree })
  } catch (failure) {
    return [note(`${keylimeDir} cannot be checked: ${causeChain(failure).join(': ')}`, 'the first start makes it')]
  }
}

export function judgeDisk({ directory, freeBytes, freeFiles }: SeenDisk): Finding[] {
  const room = `${directory} has ${Math.floor(freeBytes / MIB)} MiB free`
  const look = `df -h ${directory}`
  if (freeFiles !== undefined && freeFiles < 100)
    return [
      error(
        `${directory} has room for ${freeFiles} more files`,
        'soon nothing can be written, and enrolments and verdicts will fail',
        `df -i ${directory}`,
      ),
    ]
  if (freeBytes < 20 * MIB) return [error(room, 'soon nothing can be written, and enrolments and verdicts will fail', look)]
  if (freeBytes < 200 * MIB) return [warning(room, 'databases and logs grow', look)]
  return [ok(room, 'enough for databases and logs')]
}
