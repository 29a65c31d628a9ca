import fs from 'node:fs'
import path from 'node:path'
import { checkTlsDirectory } from '../../authority/tls-directory.ts'
import { collectFindings, type Findings } from '../../config/collect-findings.ts'
import { KeylimeError } from '../../core/errors.ts'
import { checkDatabase } from '../../io/db/check-database.ts'
import { databasePlace } from '../../io/db/open-database.ts'
import { VERIFIER_MIGRATIONS } from '../../io/db/verifier-schema.ts'
import { checkNotifierKey } from './revocation/notifier-key.ts'
import { checkTlsFiles } from './tls-identities.ts'
import { checkTogether, readVerifierSettings, type VerifierSettings } from './verifier-settings.ts'

/** `--check-config` of what files and environment say. @param checkRegistrar the same of the registrar that is hosted inside, if it is. */
export async function checkVerifierOf(
  env: NodeJS.ProcessEnv,
  checkRegistrar: (env: NodeJS.ProcessEnv) => Promise<Findings>,
): Promise<Findings> {
  const { settings, problems } = readVerifierSettings(env)
  const isHosted = settings.values.host_registrar
  // at once: a server that does not answer is waited for once
  const [found, registrar] = await Promise.all([checkVerifier(settings, problems), isHosted ? checkRegistrar(env) : null])
  if (!registrar) return found
  const more = registrar.problems.filter((problem) => !found.problems.includes(problem))
  return {
    problems: [...found.problems, ...more.map((problem) => `registrar: ${problem}`)],
    warnings: [...new Set([...found.warnings, ...registrar.warnings])],
  }
}

/** What the start would refuse, all of it, without a start. Nothing is made or changed. @param problems of the files. */
export function checkVerifier(settings: VerifierSettings, problems: readonly string[] = []): Promise<Findings> {
  const { values, keylimeDir } = settings
  return collectFindings(settings.warnings, [
    (found) => void found.problems.push(...problems),
    () => checkTogether(values),
    async (found) => {
      const directory = await checkTlsDirectory({ role: 'verifier', keylimeDir, tlsDir: values.tls_dir })
      if (directory !== null) await checkTlsFiles(settings, directory, found)
    },
    () =>
      checkDatabase(databasePlace(values, path.join(keylimeDir, 'cv_data.sqlite')), {
        keylimeDir,
        role: 'verifier',
        newest: VERIFIER_MIGRATIONS.length,
      }),
    () => checkAuditLog(values.audit_log, keylimeDir),
    () => checkNotifierKey(keylimeDir),
  ])
}

function checkAuditLog(file: string, keylimeDir: string): void {
  const directory = path.dirname(path.resolve(keylimeDir, file))
  if (file === '' || directory === keylimeDir || fs.existsSync(directory)) return
  throw new KeylimeError('config_invalid', `audit_log = ${file}: its directory ${directory} does not exist`, {
    hint: 'make the directory, or correct audit_log',
  })
}
