import { requireWholeAuthority } from '../../authority/ca-directory.ts'
import { endingCertificates } from '../../authority/ending-certificates.ts'
import { collectFindings, type Findings } from '../../config/collect-findings.ts'
import { readText } from '../../io/files/read-file.ts'
import { checkListenerTls } from './listen/listener-tls.ts'
import { type CaRequest, type OpenedCa, openCa } from './open-ca.ts'

/** `--check-config` of what files and environment say. */
export const checkCaOf = (env: NodeJS.ProcessEnv, request: Omit<CaRequest, 'tolerant'>): Promise<Findings> =>
  checkCa(openCa({ ...request, tolerant: true }, env))

/** What a command or `listen` would refuse, without one. */
export function checkCa({ directory, config, now }: OpenedCa): Promise<Findings> {
  const { values } = config
  return collectFindings(config.warnings, [
    (found) => void found.problems.push(...config.problems),
    () => requireWholeAuthority(directory),
    async (found) => void found.warnings.push(...(await endingCertificates(directory, now()))),
    (found) => (values.listen_tls_port === 0 ? undefined : checkListenerTls(config, now, found)),
    async () => {
      const { password_file: file } = values
      const options = { option: 'password_file', code: 'config_invalid', isSecret: true, hint: 'correct password_file in ca.conf' } as const
      if (file !== '') await readText(file, options)
    },
  ])
}
