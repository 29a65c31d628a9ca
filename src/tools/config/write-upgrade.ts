import fs from 'node:fs'
import { holdsSecret } from '../../config/option.ts'
import { TABLES } from '../../config/tables.ts'
import { hinted } from '../../core/system-failure.ts'
import { type FileToWrite, writeTogether } from '../../io/files/write-together.ts'
import { noteLine } from '../../io/terminal/print.ts'
import type { Upgrade, UpgradedRole } from './plan-upgrade.ts'

/** Writes the files that have to be, all or none; the one before stays beside it as `.bkp`. @throws KeylimeError `file_failed`. */
export async function writeUpgrade({ roles }: Upgrade): Promise<void> {
  const files = roles.filter((role) => role.isNeeded).map(fileOf)
  await writeTogether(files, true).catch((error) => {
    throw hinted(
      error,
      process.getuid?.() === 0 ? 'look at the directory and the file system' : 'try again with sudo, or with --out DIR',
      '; nothing was changed',
    )
  })
  for (const { file, mode, keptAs } of files)
    if (mode === SECRET && !keptAs)
      noteLine(`${file} contains a password, and only its owner can read it: give it to the user that the role runs as`)
}

const SECRET = 0o600

function fileOf({ role, file, text, options }: UpgradedRole): FileToWrite {
  const before = fs.statSync(file, { throwIfNoEntry: false })
  const hasSecret = options.some(({ option, value, isDefault }) => !isDefault && holdsSecret(TABLES[role][option]!, value))
  const mode = before ? before.mode & 0o777 & (hasSecret ? 0o770 : 0o777) : hasSecret ? SECRET : 0o644
  return { file, data: text, mode, keptAs: before ? `${file}.bkp` : null }
}
