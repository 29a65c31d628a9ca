import { type Explanation, explanation } from '../../../core/api/explanation.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { stateWord } from '../../../core/attestation/state-word.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { PolicyChange } from '../../../core/explanation/explain-failure.ts'
import { smallestChange } from '../../../core/explanation/smallest-change.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { fileDigest } from '../../../io/files/file-digest.ts'
import { type PackageOwner, packageOwners } from '../../../io/programs/package-owners.ts'
import { type PayloadFate, payloadFate } from '../delivery/payload-fate.ts'
import { notEnrolled } from '../services/not-enrolled.ts'
import { expectSuccess } from '../services/verifier-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import { judgeHere, type SecondVerdict } from './judge-here.ts'

/** What this machine, where the command runs, knows of a path. */
export interface KnownHere {
  readonly package: PackageOwner | null
  /** Whether the file here has the digest that was found there; null when there is none to compare. */
  readonly same: boolean | null
}

/** The story of a failed attestation, with what was found out beside it. */
export interface Story {
  readonly explanation: Explanation
  /** By path. */
  readonly here: ReadonlyMap<string, KnownHere>
  /** `--judge` */
  readonly secondVerdict: SecondVerdict | null
  /** The change that was written, and where. */
  readonly patch: { readonly file: string; readonly change: PolicyChange } | null
  /** What became of its payload, as the verifier says; null for none. */
  readonly payload: PayloadFate | null
}

/**
 * Asks the verifier for the story of the last failed attestation. With `--patch` the smallest change that accepts all (or `--only` some) is written, with
 * `--judge` the evidence is judged again here. @throws KeylimeError `not_found` when there is no story.
 */
export async function tellStory(context: TenantContext, agentId: string): Promise<Story> {
  const { options } = context
  const told = await askExplanation(context, agentId, options.judge === true)
  const secondVerdict = options.judge ? await judgeHere(context, told) : null
  const here = options.packages === false ? new Map<string, KnownHere>() : await knownHere(told, context.env)
  const change = options.only ? smallestChange(chosen(told.failures, options.only).map(({ accept }) => accept)) : told.change
  const patch = options.patch && change ? { file: options.patch, change } : null
  if (patch) await writeFileAtomic(patch.file, `${JSON.stringify(patch.change, null, 1)}\n`, 0o644)
  const status = await context.verifier.agent(agentId)
  return { explanation: told, here, secondVerdict, patch, payload: status ? payloadFate(status, undefined) : null }
}

/** @param only numbers of failures as they are shown, such as `1,3`. @throws KeylimeError `usage` for a number that no failure has. */
function chosen(failures: Explanation['failures'], only: string): Explanation['failures'] {
  return only.split(',').map((number) => {
    const failure = /^ *\d+ *$/.test(number) ? failures[Number(number) - 1] : undefined
    if (!failure) throw new KeylimeError('usage', `--only ${only}: "${number}" is not the number of one of the ${failures.length} failures`)
    return failure
  })
}

async function askExplanation({ verifier }: Pick<TenantContext, 'verifier'>, agentId: string, withEvidence: boolean): Promise<Explanation> {
  const path = `/agents/${encodeURIComponent(agentId)}/explanation`
  const response = await verifier.raw('GET', path, undefined, withEvidence ? { evidence: '1' } : undefined)
  const { status, message, results } = response
  if (status === 200 && typeof results === 'object' && results !== null && 'failed_at' in results)
    return parseMessage(explanation, results, 'the verifier’s answer')
  if (status === 404 && NO_STORY.test(message)) {
    await refuseUnreachable(verifier, agentId)
    if (message === 'agent id not found') throw notEnrolled(agentId)
    throw new KeylimeError('not_found', message, { hint: `\`keylime tenant status -u ${agentId}\` shows its present state` })
  }
  if (status !== 200 && !UNKNOWN_ROUTE.has(status)) expectSuccess(response)
  throw new KeylimeError('unsupported_version', 'this verifier does not keep why a machine failed', {
    hint: 'only `keylime verifier` does; `keylime tenant status` shows what upstream’s says',
  })
}

/** There is no story of a machine that is off; it has failed nothing. */
async function refuseUnreachable(verifier: TenantContext['verifier'], agentId: string): Promise<void> {
  const status = await verifier.agent(agentId)
  if (!status || stateWord(status) !== 'unreachable') return
  const seen = status.last_received_quote ? `since ${new Date(status.last_received_quote * 1000).toISOString()}` : 'yet'
  const payload = status.delivery && !status.v_released ? '; its payload waits for it at the verifier' : ''
  if (status.comes_by === 'push')
    throw new KeylimeError(
      'unreachable',
      `agent ${agentId} has brought no evidence ${seen}: it has not failed, but has not proved anything either${payload}`,
      {
        hint: 'start the machine; the log of its agent says whether it reaches the verifier, and what the verifier answers',
      },
    )
  throw new KeylimeError(
    'unreachable',
    `the verifier cannot reach agent ${agentId}: it has not failed, but has not proved anything either`,
    {
      hint: `start the machine; \`keylime tenant status -u ${agentId}\` shows where it is asked`,
    },
  )
}

const NO_STORY = /^agent id not found$|^nothing was kept of |^agent \S+ has failed no attestation/
const UNKNOWN_ROUTE = new Set([400, 404, 405])

async function knownHere({ failures }: Explanation, env: TenantContext['env']): Promise<Map<string, KnownHere>> {
  const files = new Map(failures.flatMap((failure) => (failure.path === null ? [] : [[failure.path, failure] as const])))
  const owners = await packageOwners([...files.keys()], env)
  const known = new Map<string, KnownHere>()
  for (const [path, { algorithm, found }] of files) {
    const digest = algorithm && found ? await fileDigest(path, algorithm) : null
    const owner = owners.get(path) ?? null
    if (owner || digest !== null) known.set(path, { package: owner, same: digest === null ? null : digest === found })
  }
  return known
}
