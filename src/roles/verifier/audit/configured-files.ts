import path from 'node:path'
import { withConfigFile } from '../../../config/files.ts'
import { loadConfig } from '../../../config/load.ts'
import { verifierOptions } from '../../../config/verifier.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { rotatedFiles } from '../../../io/audit/audit-files.ts'

/** The files that were named, or those of the configuration: older ones first, then the one that is written. */
export async function auditFiles(named: readonly string[] | undefined, config: string | undefined): Promise<string[]> {
  if (named && named.length > 0) return [...named]
  const { values, keylimeDir } = loadConfig('verifier', verifierOptions, { env: withConfigFile(process.env, 'verifier', config) })
  if (values.audit_log === '')
    throw new KeylimeError('usage', 'this verifier writes no audit log: audit_log is empty', { hint: 'name the file' })
  const file = path.resolve(keylimeDir, values.audit_log)
  return [...(await rotatedFiles(file)).map((rotated) => rotated.file), file]
}
