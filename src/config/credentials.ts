import fs from 'node:fs'
import path from 'node:path'
import type { Component, Environment } from './files.ts'

/** More than any password; a credential of systemd may have a megabyte. */
const MAX_BYTES = 4096

/** The name under which systemd hands over a secret option: `keylime.verifier.server_key_password`. */
export const credentialName = (component: Component, option: string): string => `keylime.${component}.${option}`

/**
 * A secret option from systemd's credentials (`LoadCredential=`): a file in the directory that only the service can read. The end of the last line counts for nothing.
 * @returns undefined when there is none. @throws Error when it cannot be read, or is no password.
 */
export function readCredential(component: Component, option: string, env: Environment): string | undefined {
  const directory = env['CREDENTIALS_DIRECTORY']
  if (!directory || !path.isAbsolute(directory)) return undefined
  const file = path.join(directory, credentialName(component, option))
  const size = fs.statSync(file, { throwIfNoEntry: false })?.size
  if (size === undefined) return undefined
  if (size > MAX_BYTES) throw new Error(`has ${size} bytes: that is not a password`)
  return fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}
