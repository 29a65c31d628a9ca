import fs from 'node:fs'
import { collectFindings, type Findings } from '../../config/collect-findings.ts'
import { readKeyFile } from '../../io/files/key-file.ts'
import { silentLogger } from '../../io/log/logger.ts'
import { type AgentSettings, readAgentSettings } from './agent-settings.ts'
import { checkServerCertificate } from './identity/server-certificate.ts'
import { accountOf, actionAccountOf } from './machine/privileges.ts'
import { checkTrust } from './machine/trust.ts'
import type { PushArguments } from './push-settings.ts'

/** `--check-config` of what files and environment say. */
export function checkAgentOf(env: NodeJS.ProcessEnv, given: PushArguments = {}): Promise<Findings> {
  const { settings, problems } = readAgentSettings(env, given)
  return checkAgent(settings, problems)
}

/** What the start would refuse, all but the TPM and the registrar, without a start. Nothing is made or changed. @param problems of the files. */
export function checkAgent(settings: AgentSettings, problems: readonly string[] = []): Promise<Findings> {
  const { values, paths, runAsChosen, namesServerCert: isNamed } = settings
  const password = values.server_key_password.reveal()
  return collectFindings(settings.warnings, [
    (found) => void found.problems.push(...problems),
    (found) => checkTrust(settings, found),
    () =>
      settings.push === null &&
      checkServerCertificate({ keyFile: paths.serverKey, certFile: paths.serverCert, isNamed, password, now: Date.now() }),
    () =>
      fs.existsSync(paths.payloadKey) &&
      readKeyFile({ file: paths.payloadKey, password: values.payload_key_password.reveal(), option: 'payload_key' }),
    () => actionAccountOf(values.revocation_actions_run_as, accountOf(values.run_as, runAsChosen, silentLogger)),
  ])
}
