import { checkRole } from '../../../src/commands.ts'
import type { ConfiguredRole } from '../../../src/config/tables.ts'
import { examine } from '../../../src/tools/doctor/examine.ts'
import type { CheckName, Finding } from '../../../src/tools/doctor/finding.ts'

export interface Changes {
  readonly limitMs?: number
  readonly root?: string
  readonly now?: () => number
}

/** What `keylime doctor` finds. */
export async function examined(role: ConfiguredRole, env: NodeJS.ProcessEnv, changes: Changes = {}): Promise<readonly Finding[]> {
  const standard = { env, limitMs: 10_000, root: '', now: () => Date.now(), checkConfig: (name: ConfiguredRole) => checkRole(name, env) }
  return (await examine(role, { ...standard, ...changes })).findings
}

/** `level: what` of one check. */
export const told = (findings: readonly Finding[], check: CheckName): string[] =>
  findings.filter((finding) => finding.check === check).map(({ level, what }) => `${level}: ${what}`)
