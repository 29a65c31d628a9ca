import path from 'node:path'
import { type CaAccess, isCaDirectory } from '../../authority/ca-access.ts'
import type { TlsUse } from '../../authority/serves-tls.ts'
import { replaceServicePassword, servicePassword } from '../../authority/service-password.ts'
import { caOptions, caSettings } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { type Config, loadConfig } from '../../config/load.ts'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../../io/clock.ts'
import { type CaPasswordSources, caPassword, givenCaPassword } from '../../io/terminal/ca-password.ts'

export type CaConfig = Config<typeof caOptions>

/** An authority that is worked with, and ca.conf, read once. */
export interface OpenedCa {
  readonly directory: string
  readonly config: CaConfig
  /** What refuses that machines get certificates of an authority of TLS. */
  readonly tlsUse: TlsUse
  now(): number
  readonly env: Environment
  /** Gets the password, asking if it must. @param isNew the password is being chosen. */
  access(isNew?: boolean): Promise<CaAccess>
  /** Has a service of this authority find its new password, where it keeps the one before. */
  keepPassword(password: string): Promise<void>
  /** A password to replace the old one: from a file, or asked for twice. @throws KeylimeError `usage` for an empty one. */
  newPassword(file: string | undefined): Promise<string>
}

export interface CaRequest {
  readonly directory: string | undefined
  readonly passwordFile: string | undefined
  /** For a check: values that cannot be used count as their defaults, and are told in `config.problems`. */
  readonly tolerant?: boolean
}

/** Loads ca.conf and finds the directory; the password is fetched only by the commands that need it. */
export function openCa(request: CaRequest, env: Environment): OpenedCa {
  const config = loadConfig('ca', caOptions, { env, tolerant: request.tolerant === true })
  const { values, keylimeDir } = config
  const directory = request.directory ? path.resolve(request.directory) : path.join(keylimeDir, 'ca')
  const now = () => systemClock.now()
  /** Made by `tls_dir = generate`, with a password that the service made for itself unless ca.conf has one: tried before anybody is asked. */
  const isOfServices = ['cv_ca', 'reg_ca'].some((name) => directory === path.join(keylimeDir, name))
  const sources: Omit<CaPasswordSources, 'isNew'> = {
    file: request.passwordFile || values.password_file,
    configured: values.password.reveal(),
    credentialsDirectory: env['CREDENTIALS_DIRECTORY'],
  }
  return {
    directory,
    config,
    tlsUse: { keylimeDir, trusted: [], now: now() },
    now,
    env,
    async access(isNew = false) {
      const shared = { directory, settings: caSettings(values), now }
      const given = await givenCaPassword(sources)
      if (given === undefined && isOfServices && (await isCaDirectory(directory)))
        return renewable({ ...shared, password: await servicePassword(directory, sources.configured) }, () =>
          caPassword({ ...sources, isNew: false }),
        )
      const password = given ?? (await caPassword({ ...sources, isNew: isNew || !(await isCaDirectory(directory)) }))
      return renewable({ ...shared, password }, () => givenCaPassword(sources))
    },
    async keepPassword(password) {
      if (isOfServices) await replaceServicePassword(directory, password)
    },
    async newPassword(file) {
      const password = await caPassword({ file: file ?? '', configured: 'default', credentialsDirectory: undefined, isNew: true })
      if (password === '') throw new KeylimeError('usage', 'an empty password would protect nothing')
      return password
    },
  }
}

/** An access that asks the source of its password again when the key store opens no longer: `keylime ca passwd` may run beside a service. */
function renewable(access: CaAccess, read: () => Promise<string | undefined>): CaAccess {
  let { password } = access
  return {
    ...access,
    get password() {
      return password
    },
    async renewPassword() {
      const fresh = await read()
      if (fresh === undefined || fresh === password) return false
      password = fresh
      return true
    },
  }
}
