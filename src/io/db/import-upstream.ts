import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { causeChain } from '../../core/errors.ts'
import type { PolicyText } from '../../core/judging/judging.ts'
import { type ReadingRules, readPolicy } from '../../core/judging/read-policy.ts'
import { ownPolicyName, parsePolicyName } from '../../core/policy/policy-name.ts'
import { isEmptyRuntimePolicy, isJudgedByIma, type PolicyNames, upstreamAgent } from '../../core/upstream/verifier-row.ts'
import { policyBodies } from './policy-bodies.ts'
import { type NamedPolicy, type PolicyKind, putPolicy } from './policy-store.ts'
import { changing } from './seam.ts'
import type { UpstreamVerifier } from './upstream-source.ts'
import { verifierStore } from './verifier-store.ts'

/** What was taken over of upstream's, and what could not be. */
export interface ImportReport {
  readonly agents: number
  readonly policies: number
  /** Machines whose V was on its way: see `upstreamAgent`. */
  readonly withheld: readonly string[]
  readonly left: readonly { readonly what: string; readonly why: string }[]
}

/** A policy of upstream's, by its number there. */
interface Known {
  readonly name: string
  readonly digest: string
  /** Upstream's way to say that there is none. */
  readonly isEmpty: boolean
}

/** The same of one that cannot be judged by: a machine that uses it must not be judged by less. */
interface Broken {
  readonly defect: string
}

type PolicyMap = ReadonlyMap<number, Known | Broken | null>

/** Takes over what upstream's verifier has stored into an empty database, all of it in one change, or nothing. What cannot be used is left out and told, never fatal. @param rules of those policies. */
export function importUpstream(source: UpstreamVerifier, target: Kysely<unknown>, rules: ReadingRules): Promise<ImportReport> {
  return changing(target, async (transaction) => {
    const store = verifierStore(transaction, MAX_EVIDENCE)
    const left: { what: string; why: string }[] = []
    const ids = new Set<string>()
    for await (const row of source.agents()) ids.add(String(row['agent_id']))
    const isOwn = (name: string) => ids.has(name) || !isGiven(name)
    const put = (kind: PolicyKind) => importPolicies(source, transaction, { kind, isOwn, rules, left })
    const known = { runtime: await put('runtime'), mb: await put('mb') }
    const withheld: string[] = []
    let policies = [...known.runtime.values(), ...known.mb.values()].filter(
      (policy) => policy && 'name' in policy && !isOwn(policy.name),
    ).length
    let agents = 0
    for await (const row of source.agents()) {
      const agentId = String(row['agent_id'])
      await sql`savepoint one_agent`.execute(transaction)
      try {
        const { names, own } = policiesOf(row, agentId, known)
        const { agent, isWithheld } = upstreamAgent(row, names)
        await store.insert({ ...agent, policies: own })
        policies += own.length
        if (isWithheld) withheld.push(agentId)
        agents++
      } catch (error) {
        await sql`rollback to savepoint one_agent`.execute(transaction)
        left.push({ what: `agent ${agentId}`, why: causeChain(error, MAX_WHY).join(': ') })
      }
    }
    return { agents, policies, withheld, left }
  })
}

const MAX_EVIDENCE = 0
const MAX_WHY = 300

interface PoliciesToPut {
  readonly kind: PolicyKind
  /** Whether a name is no operator's. */
  isOwn(name: string): boolean
  readonly rules: ReadingRules
  /** What cannot be judged by is told here. */
  readonly left: { what: string; why: string }[]
}

const KINDS = { runtime: 'runtime policy', mb: 'measured boot policy' } as const

/** Named ones get their names; those of one machine alone are named with it. Read as at a start. */
async function importPolicies(
  source: UpstreamVerifier,
  transaction: Kysely<unknown>,
  { kind, isOwn, rules, left }: PoliciesToPut,
): Promise<PolicyMap> {
  const bodies = policyBodies(transaction as never)
  const known = new Map<number, Known | Broken | null>()
  for await (const { id, name, text } of source.policies(kind)) {
    known.set(id, null)
    if (text === '') continue // upstream stores a row for a machine without a policy, too
    const bytes = Buffer.from(text)
    const defect = defectOf({ kind, bytes }, rules)
    if (defect !== null) {
      left.push({ what: `${KINDS[kind]} ${name || id}`, why: defect })
      known.set(id, { defect: `its ${KINDS[kind]} ${name || id} cannot be used` })
      continue
    }
    const digest = createHash('sha256').update(bytes).digest('hex')
    await bodies.stage({ digest, bytes })
    if (!isOwn(name)) await putPolicy(transaction as never, { kind, name, digest })
    known.set(id, { name, digest, isEmpty: kind === 'runtime' && isEmptyRuntimePolicy(text) })
  }
  return known
}

function defectOf(text: PolicyText, rules: ReadingRules): string | null {
  try {
    readPolicy(text, rules)
    return null
  } catch (error) {
    return causeChain(error, MAX_WHY).join(': ')
  }
}

function isGiven(name: string): boolean {
  try {
    return parsePolicyName(name) === name
  } catch {
    return false
  }
}

/** A policy that is named as the machine is its own. So is one whose name nobody could give here. */
function policiesOf(
  row: Readonly<Record<string, unknown>>,
  agentId: string,
  known: Readonly<Record<PolicyKind, PolicyMap>>,
): { names: PolicyNames; own: NamedPolicy[] } {
  const own: NamedPolicy[] = []
  const nameOf = (kind: PolicyKind, id: unknown): string | null => {
    const policy = id === null || id === undefined ? null : known[kind].get(Number(id))
    if (policy === undefined) throw new Error(`its ${KINDS[kind]} ${id} is not there`)
    if (policy && 'defect' in policy) throw new Error(policy.defect)
    if (!policy || (policy.isEmpty && policy.name === agentId && !isJudgedByIma(row))) return null
    if (policy.name !== agentId && isGiven(policy.name)) return policy.name
    own.push({ kind, name: ownPolicyName(agentId), digest: policy.digest })
    return ownPolicyName(agentId)
  }
  return { names: { runtime: nameOf('runtime', row['ima_policy_id']), mb: nameOf('mb', row['mb_policy_id']) }, own }
}
