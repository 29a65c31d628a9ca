import type { IdentityQuote } from '../../../core/api/identity-quote.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { AgentTarget } from './agent-target.ts'
import { judgeIdentityQuote } from './judge-identity-quote.ts'
import { type JudgedMachine, judgeRegistered } from './judge-registered.ts'
import { withRetries } from './with-retries.ts'

const NONCE_LENGTH = 20

/** An agent whose TPM proved itself a moment ago, and its transport key. */
export interface ProvedAgent {
  readonly agent: AgentService
  readonly reply: IdentityQuote
  readonly machine: JudgedMachine
}

/** Has the agent's TPM prove that it is the registered one, of a known maker, and that the transport key is its own. @throws KeylimeError `attestation_failed`, `ek_rejected`. */
export async function proveIdentity(context: TenantContext, target: AgentTarget): Promise<ProvedAgent> {
  const { report } = context
  const { agentId, registered } = target.found
  report({ type: 'working', text: `asking the agent's TPM for an identity quote` })
  const client = context.openAgent(target.host, target.port, target.pin)
  const proved = await withRetries(context, `agent ${agentId}`, async () => {
    const agent = await AgentService.connect(client, context.options.agentApiVersion ?? '')
    return { agent, reply: await askQuote(context, agent, registered.aik_tpm) }
  })
  report({ type: 'quote_verified', agentId, host: target.host, port: target.port, reply: proved.reply })
  if (context.options.replaces && (registered.regcount ?? 1) > 1)
    // each start counts: only upstream's scripts may wait for the words
    report({
      type: 'warning',
      text: `agent ${agentId} has registered ${registered.regcount} times: usual after reinstalling, otherwise a sign of another agent under this id`,
    })
  return { ...proved, machine: await judgeRegistered(context, target.found) }
}

/** @param ak as the registrar bound it to the id, base64. */
async function askQuote({ config }: Pick<TenantContext, 'config'>, agent: AgentService, ak: string): Promise<IdentityQuote> {
  const nonce = randomAlphanumeric(NONCE_LENGTH)
  const { status, message, results } = await agent.get('/quotes/identity', { nonce })
  if (status === 503 || status === 504) throw new KeylimeError('unavailable', `the agent answered ${status}`)
  if (status !== 200)
    throw new KeylimeError('refused', `the agent gave no quote (${status}${message ? `: ${message}` : ''})`, {
      hint: 'see the agent’s log',
    })
  const accepted = {
    hash: config.accept_tpm_hash_algs,
    encryption: config.accept_tpm_encryption_algs,
    signing: config.accept_tpm_signing_algs,
  }
  return judgeIdentityQuote(results, { ak: parsePublicArea(Buffer.from(ak, 'base64')), nonce, accepted })
}
