import type { ApiReply } from '../../../../io/http/route.ts'
import type { Attestation } from '../attestations.ts'
import { jsonApiText, timeText } from './json-api-reply.ts'

export const attestationPath = (agentId: string, index: number | string): string => `/v3.0/agents/${agentId}/attestations/${index}`

/**
 * One attestation as a resource of JSON:API, as text: a fleet asks for thousands a second. @param more attributes that the request is about, as JSON: `"evidence":[],`. @param stage default: where it is.
 */
export function attestationResource(agentId: string, attestation: Attestation, more = '', stage = attestation.stage): string {
  const { index, received, chosen, openedAt, expiresAt } = attestation
  const boot = JSON.stringify(chosen.offer.bootTime)
  const times = `"capabilities_received_at":"${timeText(openedAt)}","challenges_expire_at":"${timeText(expiresAt)}"`
  const receivedAt = received ? `,"evidence_received_at":"${timeText(received.at)}"` : ''
  const attributes = `{"stage":"${stage}",${more}"system_info":{"boot_time":${boot}},${times}${receivedAt}}`
  return `{"type":"attestation","id":"${index}","attributes":${attributes},"links":{"self":${JSON.stringify(attestationPath(agentId, index))}}}`
}

/** An answer that has one. @param rest more members of the document, as JSON: `,"meta":{}`. */
export const attestationReply = (status: number, resource: string, rest = '', headers: Record<string, string> = {}): ApiReply =>
  jsonApiText(status, `"data":${resource}${rest}`, headers)
