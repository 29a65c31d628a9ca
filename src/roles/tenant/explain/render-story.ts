import type { ExplainedOnWire, Explanation } from '../../../core/api/explanation.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import { printable } from '../../../core/printable.ts'
import { relativeTime } from '../../../io/terminal/terminal.ts'
import { fateText } from '../delivery/payload-fate.ts'
import type { SecondVerdict } from './judge-here.ts'
import { counted, nextSteps } from './next-steps.ts'
import type { KnownHere, Story } from './tell-story.ts'

const BLOCKS = 20
const MAX_CHANGE = 2000
/** Parts of the evidence that were too large (`evidence_max_size`), or given up for newer ones. */
const CUT: Record<string, string> = {
  evidence: 'what the agent sent, so that this cannot be judged again',
  ima_measurement_list: 'the IMA log, which was larger than evidence_max_size of the verifier',
  mb_measurement_list: 'the boot log, which was larger than evidence_max_size of the verifier',
}

/** The story as lines for a terminal. Whatever a machine put into its logs cannot leave its line. */
export function storyLines(
  { explanation, here, secondVerdict, patch, payload }: Story,
  how: { all: boolean; wantsPatch: boolean; now: number },
): string[] {
  const { failures } = explanation
  const shown = how.all ? failures : failures.slice(0, BLOCKS)
  const hidden = failures.length - shown.length
  const lines = [
    ...head(explanation, how.now),
    ...(payload ? [`payload:   ${fateText(payload)}`] : []),
    ...shown.flatMap((failure, i) => ['', ...block(failure, i + 1, failure.path === null ? undefined : here.get(failure.path))]),
    ...(hidden > 0 ? ['', `${counted(hidden, 'further failure')} (--all shows them)`] : []),
    ...(explanation.further_failures > 0
      ? ['', `${counted(explanation.further_failures, 'more failure')} of this attestation were counted, not kept`]
      : []),
    ...(explanation.evidence.cut.length > 0
      ? ['', `not kept: ${explanation.evidence.cut.map((part) => CUT[part] ?? part).join(', ')}`]
      : []),
    ...(secondVerdict ? ['', ...secondVerdictLines(secondVerdict)] : []),
    '',
    ...nextSteps(explanation, patch, how.wantsPatch),
  ]
  return lines.map(printable)
}

function head(
  { agent_id, failed_at, last_good, good_attestations, attested_since, failures, judged_by }: Explanation,
  now: number,
): string[] {
  const severities = new Map<string, number>()
  for (const { severity_label } of failures) severities.set(severity_label, (severities.get(severity_label) ?? 0) + 1)
  const time = (iso: string) => `${relativeTime(Date.parse(iso), now)} (${iso.replace(/\.\d+Z$/, 'Z')})`
  return [
    `agent ${agent_id} failed attestation ${time(failed_at)}`,
    last_good === null
      ? 'it has not been good since it was added'
      : `it was last good ${time(last_good)}, after ${counted(good_attestations, 'good attestation')}`,
    ...(attested_since ? ['since then it was attested again'] : []),
    `judged by: ${judgesText(judged_by)}`,
    `verdict:   ${[...severities].map(([label, count]) => `${count} ${label}`).join(', ')}`,
  ]
}

function judgesText({
  runtime_policy: runtime,
  mb_policy: boot,
  measured_boot_policy_name: engine,
  tpm_policy,
}: Explanation['judged_by']): string {
  const pcrs = [...parseTpmPolicy(tpm_policy).allowed.keys()]
  const policies = [
    ...(runtime ? [`runtime policy ${runtime.name}`] : []),
    ...(boot ? [`measured boot policy ${boot.name} (${engine})`] : []),
    ...(pcrs.length > 0 ? [`static values of PCR ${pcrs.join(', ')}`] : []),
  ]
  return policies.join('; ') || 'no policy: only the quote itself counts'
}

function block(failure: ExplainedOnWire, number: number, known: KnownHere | undefined): string[] {
  const digest = failure.algorithm ? `${failure.algorithm} ` : ''
  const more = failure.expected_count > failure.expected.length ? `, and ${failure.expected_count - failure.expected.length} more` : ''
  return [
    `${number}. ${failure.what} [${failure.event_id}, ${failure.severity_label}]`,
    `   ${failure.message}`,
    ...(failure.found === null ? [] : [`   found:    ${digest}${failure.found}`]),
    ...(failure.found === null && failure.expected.length === 0
      ? []
      : [`   allowed:  ${failure.expected.join(', ') || 'nothing that is listed'}${more}`]),
    ...(known ? [`   here:     ${hereText(known)}`] : []),
    failure.accept === null ? `   change:   none: ${failure.no_change}` : `   change:   ${shortened(JSON.stringify(failure.accept))}`,
    ...(failure.meaning === null ? [] : [`   meaning:  ${failure.meaning}`]),
    `   look at:  ${failure.look_at}`,
  ]
}

const shortened = (text: string) => (text.length > MAX_CHANGE ? `${text.slice(0, MAX_CHANGE)}… (--patch FILE has all of it)` : text)

function hereText({ package: owner, same }: KnownHere): string {
  const file = same === null ? 'there is no file here to compare with' : `the file here ${same ? 'is the same' : 'differs'}`
  if (!owner) return `no package of this machine owns it, and ${file}`
  return `on this machine package ${owner.name}${owner.version ? ` ${owner.version}` : ''} owns it, and ${file}`
}

function secondVerdictLines({ same, accepted, failures, otherPolicies }: SecondVerdict): string[] {
  const outcome = accepted
    ? 'accepted'
    : same
      ? 'the same verdict'
      : failures.length === 0
        ? 'no verdict: the machine was rebooted'
        : 'another verdict'
  return [
    `judged again here: ${outcome}`,
    ...otherPolicies.map((what) => `   by the ${what}`),
    ...(same || accepted ? [] : failures.slice(0, BLOCKS).map(({ event_id, message }) => `   ${event_id}: ${message}`)),
  ]
}

/** `--json`: the explanation as the API gives it, with what this machine knows beside it. */
export function storyJson({ explanation, here, secondVerdict, patch, payload }: Story): object {
  const failures = explanation.failures.map((failure) => ({ ...failure, here: (failure.path !== null && here.get(failure.path)) || null }))
  const { content, ...evidence } = explanation.evidence
  const second = secondVerdict && {
    same: secondVerdict.same,
    accepted: secondVerdict.accepted,
    failures: secondVerdict.failures,
    other_policies: secondVerdict.otherPolicies,
  }
  return {
    result: 'explanation',
    ...explanation,
    failures,
    evidence,
    judged_again: second,
    patch: patch?.file ?? null,
    payload: payload?.state ?? null,
  }
}
