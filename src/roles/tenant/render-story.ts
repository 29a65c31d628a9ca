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
  const time = (iso: string) => `${relativeTime(Date.parse(iso), now)} (${iso.replace(/\.\d+Z$/, 'Z')})`
  return [
    `agent ${agent_id} failed attestation ${time(failed_at)}`,
    last_good === null
      ? 'it was never right since it was added'
      : `it was last right ${time(last_good)}, after ${counted(good_attestations, 'good attestation')}`,
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

function changeLines({ change, without_change, judged_by, agent_id }: Explanation, patch: Story['patch'], wantsPatch: boolean): string[] {
  const hopeless = without_change > 0 ? [`no change of a policy heals ${counted(without_change, 'failure')}: see "look at"`] : []
  if (wantsPatch && !patch) return [...hopeless, 'no change was written']
  if (!change) return hopeless
  if (!patch)
    return [
      ...hopeless,
      `hint: \`keylime tenant explain -u ${agent_id} --patch change.json\` writes the smallest change that accepts the rest`,
    ]
  const steps = [
    patch.change.runtime_policy &&
      judged_by.runtime_policy &&
      upload(
        'policy.json',
        'new-policy.json',
        `updateruntimepolicy --runtime-policy-name ${shellWord(judged_by.runtime_policy.name)} --runtime-policy`,
      ),
    patch.change.mb_policy &&
      judged_by.mb_policy &&
      upload('boot.json', 'new-boot.json', `updatembpolicy --mb-policy-name ${shellWord(judged_by.mb_policy.name)} --mb-policy`),
  ].flatMap((step) => step || [])
  const file = shellWord(patch.file)
  const again = patch.change.tpm_policy
    ? [
        `  keylime policy merge tpm.json ${file} -o new-tpm.json`,
        `  keylime tenant update -u ${agent_id} --tpm_policy "$(cat new-tpm.json)"   (with all other options that it was added with)`,
      ]
    : [`  keylime tenant reactivate -u ${agent_id}`]
  return [
    ...hopeless,
    `the change is in ${patch.file}. When you have decided to accept it, merge it into your policy:`,
    ...steps.flatMap(({ from, to, command }) => [`  keylime policy merge ${from} ${file} -o ${to}`, `  keylime tenant ${command} ${to}`]),
    ...again,
  ]
}

const upload = (from: string, to: string, command: string) => ({ from, to, command })

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
  return { result: 'explanation', ...explanation, failures, evidence, judged_again: second, patch: patch?.file ?? null }
}
