import fs from 'node:fs'
import path from 'node:path'
import { holdsSecret } from '../../config/option.ts'
import { TABLES } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { makeDirectory, writeFileAtomic } from '../../io/files/atomic-file.ts'
import { noteLine } from '../../io/terminal/print.ts'
import type { Upgrade, UpgradedRole } from './plan-upgrade.ts'

/** Writes the files that have to be, each whole or not at all; the one before stays beside it as `.bkp`. @throws KeylimeError `file_failed`. */
export async function writeUpgrade({ roles }: Upgrade): Promise<void> {
  for (const role of roles) if (role.isNeeded) await writeRole(role)
}

async function writeRole({ role, file, text, options }: UpgradedRole): Promise<void> {
  const before = fs.statSync(file, { throwIfNoEntry: false })
  const hasSecret = options.some(({ option, value, isDefault }) => !isDefault && holdsSecret(TABLES[role][option]!, value))
  const mode = before ? before.mode & 0o777 & (hasSecret ? 0o770 : 0o777) : hasSecret ? 0o600 : 0o644
  try {
    await makeDirectory(path.dirname(file), 0o755)
    if (before) keepBeside(file)
    await writeFileAtomic(file, text, mode)
  } catch (cause) {
    throw new KeylimeError('file_failed', `cannot write ${file}`, {
      cause,
      hint: process.getuid?.() === 0 ? 'look at the directory and the file system' : 'try again with sudo, or with --out DIR',
    })
  }
  if (hasSecret && !before)
    noteLine(`${file} contains a password, and only its owner can read it: give it to the user that the role runs as`)
}

/** The file itself, with its owner: a copy would be whose the directory is, or the file that somebody had put there. */
function keepBeside(file: string): void {
  fs.rmSync(`${file}.bkp`, { force: true })
  fs.linkSync(file, `${file}.bkp`)
}
