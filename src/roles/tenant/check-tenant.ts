import fs from 'node:fs'
import path from 'node:path'
import { endingCertificates } from '../../authority/ending-certificates.ts'
import { collectFindings, type Findings } from '../../config/collect-findings.ts'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../../io/clock.ts'
import { readCertificateStore } from '../../io/files/certificate-store.ts'
import { checkDates, identityDates } from '../../io/files/identity-dates.ts'
import { clientIdentity } from './tenant-context.ts'
import { readTenantSettings, type TenantSettings } from './tenant-settings.ts'

const NO_STORE = { certificates: [], problems: [] }

/** `--check-config`: what a command would refuse, without one. What the verifier's first start makes may be missing still: that is a warning. */
export function checkTenantOf(env: NodeJS.ProcessEnv): Promise<Findings> {
  const { settings, problems } = readTenantSettings(env)
  return checkTenant(settings, problems)
}

/** The same of settings that were read. @param problems of their files. */
export async function checkTenant(settings: TenantSettings, problems: readonly string[] = []): Promise<Findings> {
  const { config, keylimeDir } = settings
  const made = path.join(keylimeDir, 'cv_ca')
  const isEarly = config.tls_dir === 'default' && !fs.existsSync(made)
  const store = path.resolve(keylimeDir, config.tpm_cert_store)
  const { certificates, problems: unusable } = fs.existsSync(store) ? await readCertificateStore(store) : NO_STORE
  const known = [
    ...settings.warnings,
    ...(isEarly ? [`${made} is not there yet: the verifier makes it at its first start, with the tenant’s certificate`] : []),
    ...(config.require_ek_cert && certificates.length === 0
      ? [
          `tpm_cert_store ${store} has no certificate of a TPM maker, so no TPM is trusted and nothing is delivered; \`keylime tenant ekroots add FILE\` adds one`,
        ]
      : []),
    ...unusable,
  ]
  return collectFindings(known, [
    (found) => void found.problems.push(...problems),
    async (found) => {
      if (!isEarly) checkDates(identityDates(await clientIdentity(settings), 'client', systemClock.now()), found)
    },
    async (found) => void found.warnings.push(...(await endingCertificates(path.join(keylimeDir, 'ca'), systemClock.now()))),
    () => requireFile('ek_check_script', config.ek_check_script, keylimeDir),
    () => requireFile('mb_refstate', config.mb_refstate, keylimeDir),
  ])
}

function requireFile(option: string, value: string, keylimeDir: string): void {
  const file = path.resolve(keylimeDir, value)
  if (value === '' || fs.existsSync(file)) return
  throw new KeylimeError('config_invalid', `${option}: there is no ${file}`, { hint: `correct ${option} in tenant.conf` })
}
