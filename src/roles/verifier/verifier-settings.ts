import { caOptions, caSettings } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig, refuseProblems } from '../../config/load.ts'
import type { Values } from '../../config/option.ts'
import { verifierOptions } from '../../config/verifier.ts'
import type { AgentTiming } from '../../core/attestation/agent-state.ts'
import { KeylimeError } from '../../core/errors.ts'
import { BOOT_POLICY_NAMES, type BootPolicyName, isBootPolicyName } from '../../core/measured-boot/boot-policy.ts'
import type { CaSettings } from '../../core/pki/ca-settings.ts'
import { Problems } from '../../core/problems.ts'
import type { SeverityPolicy } from '../../core/verdict/severity.ts'
import type { HistoryLimits } from '../../io/db/history-store.ts'
import type { JudgingRules } from '../../io/judging/judging-rules.ts'

export type VerifierValues = Values<typeof verifierOptions>

/** The configuration of one start, read once. */
export interface VerifierSettings {
  readonly values: VerifierValues
  /** Of ca.conf: for `tls_dir = generate`. */
  readonly ca: { readonly settings: CaSettings; readonly password: string }
  readonly keylimeDir: string
  readonly warnings: readonly string[]
}

/** Reads verifier.conf and ca.conf. @throws KeylimeError `config_invalid` with all values that cannot be used. */
export function loadVerifierSettings(env: Environment): VerifierSettings {
  const { settings, problems } = readVerifierSettings(env)
  refuseProblems('verifier', problems)
  return settings
}

/** The same for a check: values that cannot be used count as their defaults, so that the rest can be looked at too. */
export function readVerifierSettings(env: Environment): { settings: VerifierSettings; problems: string[] } {
  const own = loadConfig('verifier', verifierOptions, { env, tolerant: true })
  const ca = loadConfig('ca', caOptions, { env, tolerant: true })
  const { values, keylimeDir } = own
  const authority = { settings: caSettings(ca.values), password: ca.values.password.reveal() }
  return {
    settings: { values, ca: authority, keylimeDir, warnings: [...own.warnings, ...ca.warnings, ...leftAside(values)] },
    problems: [...own.problems, ...ca.problems],
  }
}

function leftAside({ measured_boot_imports: imports }: VerifierValues): string[] {
  if (imports.length === 0) return []
  return [`measured_boot_imports is ignored: Python modules are not loaded; engines are ${BOOT_POLICY_NAMES.join(', ')}`]
}

/** What the values say together. @throws KeylimeError `config_invalid`. */
export function checkTogether(values: VerifierValues): void {
  const problems = new Problems()
  problems.take(() => bootPolicyOf(values))
  problems.take(() => severityOf(values))
  problems.take(() => requireWebhookUrl(values))
  problems.refuse()
}

function requireWebhookUrl({ enabled_revocation_notifications: enabled, webhook_url: url }: VerifierValues): void {
  if (enabled.includes('webhook') && url === '')
    throw new KeylimeError('config_invalid', 'webhook is enabled, but webhook_url is empty', { hint: 'set webhook_url in [revocations]' })
}

/** @throws KeylimeError `config_invalid` for `measured_boot_policy_name`. */
export function bootPolicyOf({ measured_boot_policy_name: name }: VerifierValues): BootPolicyName {
  if (isBootPolicyName(name)) return name
  throw new KeylimeError('config_invalid', `measured_boot_policy_name = ${name} is not known here`, {
    hint: `known are ${BOOT_POLICY_NAMES.join(', ')}`,
  })
}

export const timingOf = (values: VerifierValues): AgentTiming => ({
  quoteInterval: values.quote_interval,
  retryInterval: values.retry_interval,
  exponentialBackoff: values.exponential_backoff,
  maxRetries: values.max_retries,
})

export const historyLimitsOf = (values: VerifierValues): HistoryLimits => ({
  rows: values.history_rows,
  rowsPerAgent: values.history_rows_per_agent,
  days: values.history_days,
})

/** @throws KeylimeError `config_invalid` for a rule of `severity_policy`. */
export function severityOf(values: VerifierValues): SeverityPolicy {
  const rules = values.severity_policy.map(({ event_id, severity_label }) => {
    try {
      return { eventId: new RegExp(`^(?:${event_id})$`, 's'), label: severity_label }
    } catch (cause) {
      throw new KeylimeError('config_invalid', `severity_policy: "${event_id}" is not a regular expression`, { cause })
    }
  })
  return { labels: values.severity_labels, rules }
}

/** How evidence and policies are judged, in this thread and in the workers. */
export const judgingRulesOf = (values: VerifierValues): JudgingRules => ({
  failOnViolations: values.fail_on_violations,
  requireSigned: values.require_allow_list_signatures,
  bootPolicy: bootPolicyOf(values),
})
