import type fs from 'node:fs'
import { KeylimeError } from '../../core/errors.ts'

/**
 * Refuses a private key or a password that every user of the machine may read or change. Its group may read it: that is how a service gets what root has put
 * there. What is not a regular file (a pipe, a terminal) has no such mode. @param stats of the open file, so that it is the one that is read.
 * @param option which names the file. @throws KeylimeError `config_invalid` with the file and its mode.
 */
export function requireSecret(file: string, stats: fs.Stats, option?: string): void {
  if (!stats.isFile() || (stats.mode & 0o006) === 0) return
  const verb = (stats.mode & 0o004) === 0 ? 'changed' : 'read'
  throw new KeylimeError(
    'config_invalid',
    `${option ? `${option}: ` : ''}${file} can be ${verb} by every user of this machine (mode ${(stats.mode & 0o777).toString(8)}), so it is not used`,
    { hint: `run \`chmod o= ${file}\`, and replace what is in it if someone may have read it` },
  )
}
