import { setTimeout as sleep } from 'node:timers/promises'
import { keyProof } from '../../../core/api/agent-info.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { challengeHmac, sameTag } from '../../../core/payload/auth-tag.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import type { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'

const CHALLENGE_LENGTH = 20
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 250

/**
 * The agent proves that it derived K: it got V, so the verifier vouches for it (protocol 3.7). Asks first and waits then, in short steps.
 * @throws KeylimeError `timeout`; the verifier is then told to stop, as upstream does with `--verify`.
 */
export async function proveKey(context: TenantContext, agent: AgentService, agentId: string, k: Buffer): Promise<void> {
  context.report({ type: 'working', text: 'having the agent prove that it derived the key' })
  const end = context.clock.monotonic() + context.options.timeoutSeconds * 1000
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.4, LONGEST_PAUSE_MS)) {
    const challenge = randomAlphanumeric(CHALLENGE_LENGTH)
    const { status, results } = await agent.get('/keys/verify', { challenge })
    const proof = keyProof.safeParse(results).data
    if (status === 200 && proof && sameTag(proof.hmac, challengeHmac(k, challenge))) return context.report({ type: 'key_proved', agentId })
    if (context.clock.monotonic() + pause > end) break
    await sleep(pause)
  }
  if (context.options.verify) await context.verifier.stop(agentId)
  throw new KeylimeError('timeout', `agent ${agentId} did not derive the key within ${context.options.timeoutSeconds} s`, {
    hint: 'see the agent’s log; `keylime tenant status` shows whether the verifier released its share',
  })
}
