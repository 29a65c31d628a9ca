import type { Attestation } from '../attestations.ts'
import { timeText } from './json-api-reply.ts'

export const attestationPath = (agentId: string, index: number | string): string => `/v3.0/agents/${agentId}/attestations/${index}`

/** One attestation as a resource of JSON:API. @param more attributes that the request is about. */
export function attestationDocument(agentId: string, attestation: Attestation, more: Record<string, unknown> = {}): { data: object } {
  const { index, stage, received, bootTime, openedAt, expiresAt } = attestation
  return {
    data: {
      type: 'attestation',
      id: String(index),
      attributes: {
        stage,
        ...more,
        system_info: { boot_time: bootTime },
        capabilities_received_at: timeText(openedAt),
        challenges_expire_at: timeText(expiresAt),
        ...(received ? { evidence_received_at: timeText(received.at) } : {}),
      },
      links: { self: attestationPath(agentId, index) },
    },
  }
}
