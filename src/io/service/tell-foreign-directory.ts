import fs from 'node:fs'
import type { Logger } from '../log/logger.ts'

/** Says when root works in the directory of another user: what it makes there, a database or a key, the service of that user may not open. Never throws. */
export function tellForeignDirectory(directory: string, logger: Logger): void {
  if (process.geteuid?.() !== 0) return
  const owner = fs.statSync(directory, { throwIfNoEntry: false })
  if (owner && owner.uid !== 0)
    logger.warn(
      `${directory} belongs to another user, and this is root: the service of that user may not open what is made here now; run it as that user, or \`systemctl start\` it`,
      { uid: owner.uid },
    )
}
