import type { ExplainedOnWire, Explanation } from '../../core/explanation/explanation.ts'
import { printable, relativeTime } from '../../io/process/terminal.ts'
import type { KnownHere, Story } from './explain.ts'
import type { SecondVerdict } from './judge-here.ts'

const BLOCKS = 20
const MAX_CHANGE = 2000

/** The story as lines for a terminal. Whatever a machine put into its logs cannot leave its line. */
export function storyLines(
  { explanation, here, secondVerdict, patch }: Story,
  how: { all: boolean; wantsPatch: boolean; now: number },
): string[] {
  const { failures } = explanation
  const shown = how.all ? failures : failures.slice(0, BLOCKS)
  const hidden = failures.length - shown.length
  const lines = [
    ...head(explanation, how.now),
    ...shown.flatMap((failure, i) => ['', ...block(failure, i + 1, failure.path === null ? undefined : here.get(failure.path))]),
    ...(hidden > 0 ? ['', `${counted(hidden, 'further failure')} (--all shows them)`] : []),
    ...(explanation.further_failures > 0
      ? ['', `${counted(explanation.further_failures, 'more failure')} of this attestation were counted, not kept`]
      : []),
    ...(secondVerdict ? ['', ...secondVerdictLines(secondVerdict)] : []),
    '',
    ...changeLines(explanation, patch, how.wantsPatch),
  ]
  return lines.map(printable)
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

function head(
  { agent_id, failed_at, last_good, good_attestations, attested_since, failures, judged_by }: Explanation,
  now: number,
): string[] {
  const severities = new Map<string, number>()
  for (const { severity_label } of failures) severities.set(severity_label, (severities.get(severity_label) ?? 0) + 1)
  const policies = [
    ...(judged_by.runtime_policy ? [`runtime policy ${judged_by.runtime_policy.name}`] : []),
    ...(judged_by.mb_policy ? [`measured boot policy ${judged_by.mb_policy.name} (${judged_by.measured_boot_policy_name})`] : []),
    `static PCRs ${judged_by.tpm_policy}`,
  ]
  return [
    `agent ${agent_id} failed attestation ${relativeTime(Date.parse(failed_at), now)} (${failed_at})`,
    last_good === null
      ? 'it was never right since it was added'
      : `it was last right ${relativeTime(Date.parse(last_good), now)} (${last_good}), after ${counted(good_attestations, 'good attestation')}`,
    ...(attested_since ? ['since then it was attested again'] : []),
    `judged by: ${policies.join('; ')}`,
    `verdict:   ${[...severities].map(([label, count]) => `${count} ${label}`).join(', ')}`,
  ]
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
    ...(failure.signed_by === null
      ? []
      : [`   signed:   by key ${failure.signed_by}, which is not trusted here or did not make this signature`]),
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

function changeLines({ change, without_change, judged_by, agent_id }: Explanation, patch: string | null, wantsPatch: boolean): string[] {
  const hopeless = without_change > 0 ? [`no change of a policy heals ${counted(without_change, 'failure')}: see "look at"`] : []
  if (!change) return [...hopeless, ...(wantsPatch ? ['no change was written'] : [])]
  if (!patch)
    return [
      ...hopeless,
      `hint: \`keylime tenant explain -u ${agent_id} --patch change.json\` writes the smallest change that accepts the rest`,
    ]
  const file = shellWord(patch)
  const { runtime_policy: runtime, mb_policy: mb } = judged_by
  return [
    ...hopeless,
    `the smallest change is in ${patch}. When you have decided to accept it, with policy.json, boot.json and tpm.json as you have them:`,
    ...(change.runtime_policy && runtime
      ? [
          `  keylime policy merge policy.json ${file} -o new-policy.json`,
          `  keylime tenant updateruntimepolicy --runtime-policy-name ${shellWord(runtime.name)} --runtime-policy new-policy.json`,
        ]
      : []),
    ...(change.mb_policy && mb
      ? [
          `  keylime policy merge boot.json ${file} -o new-boot.json`,
          `  keylime tenant updatembpolicy --mb-policy-name ${shellWord(mb.name)} --mb-policy new-boot.json`,
        ]
      : []),
    ...(change.tpm_policy
      ? [
          `  keylime policy merge tpm.json ${file} -o new-tpm.json`,
          `  keylime tenant update -u ${agent_id} --tpm_policy "$(cat new-tpm.json)"   (and all other options with which it was added)`,
        ]
      : [`  keylime tenant reactivate -u ${agent_id}`]),
  ]
}

/** A word that a shell takes as it is: names of policies come from others. */
const shellWord = (text: string) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** `--json`: the explanation as the API gives it, with what this machine knows beside it. */
export function storyJson({ explanation, here, secondVerdict, patch }: Story): object {
  const failures = explanation.failures.map((failure) => ({ ...failure, here: (failure.path !== null && here.get(failure.path)) || null }))
  const { content, ...evidence } = explanation.evidence
  const second = secondVerdict && {
    same: secondVerdict.same,
    accepted: secondVerdict.accepted,
    failures: secondVerdict.failures,
    other_policies: secondVerdict.otherPolicies,
  }
  return { result: 'explanation', ...explanation, failures, evidence, judged_again: second, patch }
}
