import { createHash } from 'node:crypto'
import type { Explanation } from '../../../core/api/explanation.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { storedPolicy as storedPolicySchema } from '../../../core/api/stored-policies.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyRef } from '../../../core/explanation/failed-round.ts'
import { judgeAgain, readEvidence } from '../../../core/explanation/stored-evidence.ts'
import { parseStoredPolicy, withKeys } from '../../../core/ima/stored-policy.ts'
import { isBootPolicyName, parseBootPolicy } from '../../../core/measured-boot/boot-policy.ts'
import type { AgentPolicy } from '../../../core/policy/agent-policy.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import { bootPolicy, type PolicySources, runtimePolicy } from '../policies/policy-fields.ts'
import { expectSuccess } from '../services/verifier-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'

/** The stored evidence judged once more, on this machine. */
export interface SecondVerdict {
  /** The same failures, with the same facts, as the verifier found. */
  readonly same: boolean
  readonly accepted: boolean
  readonly failures: readonly { event_id: string; message: string }[]
  /** Policies that are not those of the verdict, in words. */
  readonly otherPolicies: readonly string[]
}

type Used = PolicySources & Pick<TenantContext, 'verifier'>

/**
 * Judges the evidence by the verifier's own core. The policies are those that the verifier has under their names now, or the ones that are given
 * with `--runtime-policy`, `--mb-policy` and `--tpm_policy`: so a change can be tried before it is uploaded.
 * @throws KeylimeError `not_found` when the evidence was not kept whole.
 */
export async function judgeHere(used: Used, { judged_by, failures, evidence, agent_id }: Explanation): Promise<SecondVerdict> {
  if (evidence.content === undefined || evidence.cut.length > 0)
    throw new KeylimeError('not_found', `the evidence of agent ${agent_id} was not kept whole, so it cannot be judged again`, {
      hint: 'it was too large, or could not be stored: the verifier’s log of that time says which',
    })
  const stored = readEvidence(evidence.content)
  const otherPolicies: string[] = []
  const { options } = used
  const given = { runtime: Buffer.from(await runtimePolicy(options), 'base64').toString('utf8'), mb: (await bootPolicy(used)) ?? '' }
  const runtime = given.runtime || (await storedPolicy(used, 'runtime', judged_by.runtime_policy, otherPolicies))
  const boot = given.mb || (await storedPolicy(used, 'mb', judged_by.mb_policy, otherPolicies))
  if (given.runtime) otherPolicies.push(`runtime policy in ${options.runtimePolicy}`)
  if (given.mb) otherPolicies.push(`measured boot policy in ${options.mbPolicy}`)
  const engine = judged_by.measured_boot_policy_name
  if (!isBootPolicyName(engine))
    throw new KeylimeError('unsupported_version', `the verifier judges boot logs by ${engine}, which is not known here`)
  const judging = { failOnViolations: stored.fail_on_violations }
  const policy: AgentPolicy = {
    tpm: tpmPolicy(options, judged_by.tpm_policy, otherPolicies),
    ima: withKeys(runtime === null ? null : parseStoredPolicy(runtime, judging), stored.ima_keys, judging),
    boot: boot === null ? null : parseBootPolicy(boot, engine),
  }
  const verdict = judgeAgain(stored, policy, judged_by.pcrs)
  const found = verdict.outcome === 'failed' ? verdict.failures.map((f) => ({ event_id: f.eventId, message: f.context.message })) : []
  const facts = (list: readonly { event_id: string; message: string }[]) => JSON.stringify(list.map((f) => [f.event_id, f.message]))
  return { same: facts(found) === facts(failures), accepted: verdict.outcome === 'passed', failures: found, otherPolicies }
}

/** The mask stays: it says which PCRs the quote covers. */
function tpmPolicy(options: TenantOptions, judgedBy: string, others: string[]): AgentPolicy['tpm'] {
  const before = parseTpmPolicy(judgedBy)
  if (!options.tpmPolicy) return before
  others.push('static PCRs of --tpm_policy')
  return { mask: before.mask, allowed: parseTpmPolicy(options.tpmPolicy).allowed }
}

/** What the verifier has under the name now. @param others is told when that is not what judged. */
async function storedPolicy({ verifier }: Used, kind: 'runtime' | 'mb', ref: PolicyRef | null, others: string[]): Promise<string | null> {
  if (!ref) return null
  const what = kind === 'runtime' ? 'runtime policy' : 'measured boot policy'
  const path = `/${kind === 'runtime' ? 'allowlists' : 'mbpolicies'}/${encodeURIComponent(ref.name)}`
  const { results } = expectSuccess(await verifier.raw('GET', path))
  const text =
    kind === 'runtime'
      ? parseMessage(storedPolicySchema.runtime, results, 'the verifier’s answer').runtime_policy
      : parseMessage(storedPolicySchema.mb, results, 'the verifier’s answer').mb_policy
  if (createHash('sha256').update(text).digest('hex') !== ref.sha256) others.push(`${what} ${ref.name} as it is now: it was changed since`)
  return text
}
