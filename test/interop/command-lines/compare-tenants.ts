import type { Case, Outcome } from '../results.ts'
import { compareAnswers } from './answer.ts'
import { KEPT_ANSWERS } from './kept.ts'
import { compareTools } from './tools.ts'
import { askTenant } from './worlds.ts'

/** The same calls of upstream's programs, answered by upstream's and by ours. */
export const commandLines = (): Case[] => [
  { part: 'command-lines', name: 'keylime_tenant', run: compareTenants },
  { part: 'command-lines', name: 'keylime_ca, keylime-policy and other tools', run: compareTools },
]

async function compareTenants(): Promise<Outcome> {
  const theirs = await askTenant('theirs')
  const ours = await askTenant('ours')
  return judgeAnswers(theirs.map(({ call, answer }, i) => ({ call, differences: compareAnswers(answer, ours[i]!.answer) })))
}

export interface Compared {
  call: string
  differences: string[]
}

/** A call passes when its answers are the same, or differ only in what we keep. */
export function judgeAnswers(calls: readonly Compared[]): Outcome {
  const facts: Record<string, string> = {}
  const failures: string[] = []
  let same = 0
  for (const { call, differences } of calls) {
    if (differences.length === 0) same++
    const unexplained = differences.filter((difference) => {
      const kept = KEPT_ANSWERS.find((rule) => rule.call.test(call) && rule.difference.test(difference))
      if (kept) facts[kept.name] = String(Number(facts[kept.name] ?? 0) + 1)
      return !kept
    })
    if (unexplained.length > 0) failures.push([call, ...unexplained.map((difference) => `  ${difference}`)].join('\n'))
  }
  return { passed: calls.length - failures.length, failed: failures.length, facts: { same: String(same), ...facts }, failures }
}
