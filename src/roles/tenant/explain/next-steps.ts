import type { Explanation } from '../../../core/api/explanation.ts'
import type { Story } from './tell-story.ts'

export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

/** What can be done about a failed attestation: the commands that accept it, as they can be typed. */
export function nextSteps(explanation: Explanation, patch: Story['patch'], wantsPatch: boolean): string[] {
  const { change, without_change, agent_id } = explanation
  const hopeless = without_change > 0 ? [`no policy change would accept ${counted(without_change, 'failure')}: see "look at"`] : []
  if (patch) return [...hopeless, ...mergeSteps(explanation, patch)]
  if (wantsPatch) return [...hopeless, 'no change was written']
  if (!change) return hopeless
  const what = without_change > 0 ? 'the others' : counted(explanation.failures.length, 'failure')
  return [
    ...hopeless,
    `hint: \`keylime tenant explain -u ${agent_id} --patch change.json\` writes the smallest change that accepts ${what}`,
  ]
}

function mergeSteps({ judged_by, agent_id }: Explanation, { file, change }: NonNullable<Story['patch']>): string[] {
  const { runtime_policy: runtime, mb_policy: boot } = judged_by
  const lines = [`the change is in ${file}. When you have decided to accept it, merge it into your policy:`]
  const merge = (policy: string, then: string) =>
    lines.push(`  keylime policy merge ${policy} ${shellWord(file)} -o new-${policy}`, `  keylime tenant ${then}`)
  if (change.runtime_policy && runtime)
    merge('policy.json', `updateruntimepolicy --runtime-policy-name ${shellWord(runtime.name)} --runtime-policy new-policy.json`)
  if (change.mb_policy && boot) merge('boot.json', `updatembpolicy --mb-policy-name ${shellWord(boot.name)} --mb-policy new-boot.json`)
  if (change.tpm_policy) merge('tpm.json', `update -u ${agent_id} --tpm_policy "$(cat new-tpm.json)"`)
  else lines.push(`  keylime tenant reactivate -u ${agent_id}`)
  return lines
}

/** A word that a shell takes as it is: names of policies come from others. */
const shellWord = (text: string) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
