import type { z } from 'zod'
import type { agentVersion } from '../../../core/api/agent.ts'
import type { FullAgentInfo } from '../../../core/api/agent-info.ts'
import { isAtLeast } from '../../../core/api/versions.ts'
import type { KeyKind } from '../../../core/tpm/templates.ts'
import type { ApiReply } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'

/** `GET /version`: what verifiers negotiate with. */
export const getVersion = ({ apiVersions }: AgentContext): ApiReply => ({
  results: { supported_version: apiVersions.at(-1)!, supported_versions: [...apiVersions] } satisfies z.input<typeof agentVersion>,
})

/**
 * `GET /v2.x/agent/info`. The handle is the number that upstream shows; nothing can be done with it from outside. `payload` is an addition of ours: the tenant
 * shows it as the last step of a delivery.
 */
export const getInfo = ({ agentId, ak, payloads }: AgentContext, version: string): ApiReply => ({
  results: {
    agent_uuid: agentId,
    tpm_hash_alg: ak.hash,
    tpm_enc_alg: encryptionName(ak.kind, version),
    tpm_sign_alg: ak.signing,
    ak_handle: 0x80000001,
    payload: payloads.progress,
  } satisfies FullAgentInfo,
})

/** Full names since API 2.5; before that only `rsa` and `ecc` (protocol 1.4). */
export const encryptionName = (kind: KeyKind, version: string): string => (isAtLeast(version, '2.5') ? kind : kind.slice(0, 3))
