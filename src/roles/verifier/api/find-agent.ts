import { parseAgentId } from '../../../core/api/agent-id.ts'
import type { StoredRecord } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'

/** @returns what is stored, readable or not. @throws KeylimeError `agent_not_found` with upstream's text. */
export async function findRecord(store: VerifierStore, params: Record<string, string>): Promise<StoredRecord> {
  const record = await store.find(parseAgentId(params['id']!))
  if (!record) throw new KeylimeError('agent_not_found', 'agent id not found')
  return record
}
