import path from 'node:path'
import { checkTlsDirectory } from '../../authority/tls-directory.ts'
import { collectFindings, type Findings } from '../../config/collect-findings.ts'
import { checkDatabase } from '../../io/db/check-database.ts'
import { databasePlace } from '../../io/db/open-database.ts'
import { REGISTRAR_MIGRATIONS } from '../../io/db/registrar-schema.ts'
import { type RegistrarSettings, readRegistrarSettings } from './registrar-settings.ts'
import { checkTlsFiles } from './tls-identity.ts'

/** `--check-config` of what files and environment say. */
export function checkRegistrarOf(env: NodeJS.ProcessEnv): Promise<Findings> {
  const { settings, problems } = readRegistrarSettings(env)
  return checkRegistrar(settings, problems)
}

/** What the start would refuse, all of it, without a start. Nothing is made or changed. @param problems of the files. */
export function checkRegistrar(settings: RegistrarSettings, problems: readonly string[] = []): Promise<Findings> {
  const { values, keylimeDir } = settings
  return collectFindings(settings.warnings, [
    (found) => void found.problems.push(...problems),
    async (found) => {
      const directory = await checkTlsDirectory({ role: 'registrar', keylimeDir, tlsDir: values.tls_dir })
      if (directory !== null) await checkTlsFiles(settings, directory, found)
    },
    () =>
      checkDatabase(databasePlace(values, path.join(keylimeDir, 'reg_data.sqlite')), {
        keylimeDir,
        role: 'registrar',
        newest: REGISTRAR_MIGRATIONS.length,
      }),
  ])
}
