import { effectiveSettings, originText } from '../../config/effective.ts'
import { TABLES } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { hinted } from '../../core/system-failure.ts'
import { writeTogether } from '../../io/files/write-together.ts'
import type { ConfigPlace } from './config-word.ts'
import { type FileToChange, readFollowed } from './followed-link.ts'
import type { WantedOption } from './wanted-option.ts'

/** A file of which something will be changed. @throws KeylimeError `file_failed`, `refused`. */
export function readToChange(file: string): FileToChange {
  try {
    return readFollowed(file)
  } catch (cause) {
    if (cause instanceof KeylimeError) throw cause
    throw new KeylimeError('file_failed', `cannot read ${file}`, { cause, hint: 'try again with sudo' })
  }
}

/** Whole or not at all. @throws KeylimeError `file_failed`. */
export async function writeChanged({ place, text, mode }: FileToChange): Promise<void> {
  await writeTogether([{ file: place, data: text, mode }], true).catch((error) => {
    throw hinted(
      error,
      process.getuid?.() === 0 ? 'look at the directory and the file system' : 'try again with sudo',
      '; nothing was changed',
    )
  })
}

/** Who says what the option is now, where it is not this file (or, without one, the default): else null. */
export function overriddenBy({ role, name }: WantedOption, file: string | undefined, place: ConfigPlace): string | null {
  const setting = effectiveSettings(role, TABLES[role], place).settings.find((one) => one.option === name)
  if (!setting) return null
  const { origin } = setting
  const isMeant = file === undefined ? origin.from === 'default' : origin.from === 'file' && origin.file === file
  return isMeant ? null : originText(origin)
}

/** Names the file in what cannot be done with its text. @throws KeylimeError. */
export function ofFile<T>(file: string, change: () => T): T {
  try {
    return change()
  } catch (error) {
    if (!(error instanceof KeylimeError)) throw error
    throw new KeylimeError(error.code, `${file}: ${error.message}`, error.hint === undefined ? {} : { hint: error.hint })
  }
}
