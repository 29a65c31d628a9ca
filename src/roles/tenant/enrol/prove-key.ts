import { keyProof } from '../../../core/api/agent-info.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { challengeHmac, sameTag } from '../../../core/payload/auth-tag.ts'
import { poll } from '../../../io/poll.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import type { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'

const CHALLENGE_LENGTH = 20
const PAUSES = { firstPauseMs: 10, longestPauseMs: 250 }

type Used = Pick<TenantContext, 'verifier' | 'clock' | 'options' | 'report'>

/**
 * The agent proves that it derived K: it got V, so the verifier vouches for it (protocol 3.7). Asks first and waits then, in short steps.
 * @throws KeylimeError `timeout`; the verifier is then told to stop, as upstream does with `--verify`.
 */
export async function proveKey({ verifier, clock, options, report }: Used, agent: AgentService, agentId: string, k: Buffer): Promise<void> {
  report({ type: 'working', text: 'asking the agent to prove that it derived the key' })
  const { timeoutSeconds } = options
  const proved = await poll({ clock, timeoutSeconds, ...PAUSES }, async () => {
    const challenge = randomAlphanumeric(CHALLENGE_LENGTH)
    const { status, results } = await agent.get('/keys/verify', { challenge })
    const proof = keyProof.safeParse(results).data
    return status === 200 && proof && sameTag(proof.hmac, challengeHmac(k, challenge)) ? true : undefined
  })
  if (proved) return report({ type: 'key_proved', agentId })
  if (options.verify) await verifier.stop(agentId)
  throw new KeylimeError('timeout', `agent ${agentId} did not derive the key within ${timeoutSeconds} s`, {
    hint: 'see the agent’s log; `keylime tenant status` shows whether the verifier released its share',
  })
}
