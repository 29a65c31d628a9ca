import { parseMessage } from '../../core/api/parse-message.ts'
import { policyNames } from '../../core/api/stored-policies.ts'
import { withTenant } from './start.ts'
import type { TenantContext } from './tenant-context.ts'
import { loadTenantSettings } from './tenant-settings.ts'

/** Who waits for a completion waits no longer. */
const PATIENCE_SECONDS = 2

const ASKED: Readonly<Record<string, (context: TenantContext) => Promise<readonly string[]>[]>> = {
  agent: ({ verifier, registrar }) => [verifier.agentIds(''), registrar.agentIds()],
  'runtime-policy': (context) => [runtimeNames(context)],
  'mb-policy': (context) => [bootNames(context)],
  policy: (context) => [runtimeNames(context), bootNames(context)],
}

/** Ids of machines, or names of stored policies, for the completion of a shell; none that it would take for an option: a machine chooses its id. @returns none of an unknown kind, and where nobody answers in time; never throws. */
export async function knownNames(kind: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const asked = ASKED[kind]
  if (!asked) return []
  const options = { command: 'list', wait: false, timeoutSeconds: PATIENCE_SECONDS, hurried: true }
  try {
    return await withTenant({ options, settings: loadTenantSettings(env), report: () => undefined }, async (context) => {
      const answers = await Promise.allSettled(asked(context))
      const names = new Set(answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : [])))
      return [...names].filter((name) => !name.startsWith('-')).sort()
    })
  } catch {
    return [] // a shell that completes has no place for errors
  }
}

async function runtimeNames({ verifier }: TenantContext): Promise<string[]> {
  const { results } = await verifier.raw('GET', '/allowlists/')
  return parseMessage(policyNames.runtime, results, 'the verifier’s answer')['runtimepolicy names']
}

async function bootNames({ verifier }: TenantContext): Promise<string[]> {
  const { results } = await verifier.raw('GET', '/mbpolicies/')
  return parseMessage(policyNames.mb, results, 'the verifier’s answer')['mbpolicy names']
}
