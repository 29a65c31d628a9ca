import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import type { CaSettings } from '../core/pki/ca-settings.ts'

/** How to open the directory of an authority. */
export interface CaAccess {
  readonly directory: string
  readonly password: string
  readonly settings: CaSettings
  /** Asked when `password` opens the key store no longer. True when `password` is another one since. */
  renewPassword?(): Promise<boolean>
  /** Milliseconds since the epoch. */
  now(): number
}

/** With its own certificate a directory counts as an authority: it is written last. */
export const isCaDirectory = (directory: string): Promise<boolean> => exists(path.join(directory, 'cacert.crt'))

/** @throws KeylimeError `not_found`. */
export async function requireCaDirectory(directory: string): Promise<void> {
  if (await isCaDirectory(directory)) return
  throw new KeylimeError('not_found', `${directory} holds no certificate authority`, {
    hint: `make one with \`keylime ca init -d ${directory}\``,
  })
}

export const exists = (file: string): Promise<boolean> =>
  fs.access(file).then(
    () => true,
    () => false,
  )
