import type { Findings } from '../../../config/collect-findings.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, warning, error } = findingsOf('configuration')

/** What `keylime config check ROLE` says. */
export const checkConfiguration = async ({ role, checkConfig }: Subject): Promise<Finding[]> =>
  judgeConfiguration(role, await checkConfig())

export function judgeConfiguration(role: string, { problems, warnings }: Findings): Finding[] {
  const show = `keylime config show ${role} --origin`
  const found = [
    ...problems.map((problem) => error(problem, `the ${role} refuses it`, show)),
    ...warnings.map((text) => warning(text, `the ${role} works with it, but perhaps not as you want`, show)),
  ]
  return found.length > 0 ? found : [ok(`the configuration of the ${role} can be used`, 'nothing in it would be refused')]
}
