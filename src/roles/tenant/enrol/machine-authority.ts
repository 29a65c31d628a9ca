import path from 'node:path'
import { type CaAccess, isCaDirectory } from '../../../authority/ca-access.ts'
import { caSettings } from '../../../config/ca.ts'
import { caPassword } from '../../../io/terminal/ca-password.ts'
import type { TenantContext } from '../tenant-context.ts'

type Used = Pick<TenantContext, 'options' | 'caConfig' | 'env' | 'keylimeDir' | 'clock' | 'caPasswords'>

/** The directory that `--cert` names; `default` is KEYLIME_DIR/ca. */
export const authorityDirectory = (keylimeDir: string, cert: string): string =>
  cert === 'default' ? path.join(keylimeDir, 'ca') : path.resolve(cert)

/** Opens the authority of machines with its password, which is asked for once a run, however many machines there are. */
export async function openMachineAuthority({ options, caConfig, env, clock, caPasswords }: Used, directory: string): Promise<CaAccess> {
  const isNew = !(await isCaDirectory(directory))
  const known = caPasswords.get(directory)
  const password =
    known ??
    caPassword({
      file: options.passwordFile || caConfig.password_file,
      configured: caConfig.password.reveal(),
      credentialsDirectory: env['CREDENTIALS_DIRECTORY'],
      isNew,
    })
  caPasswords.set(directory, password)
  return { directory, password: await password, settings: caSettings(caConfig), now: () => clock.now() }
}
