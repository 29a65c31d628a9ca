import type { z } from 'zod'
import { agentIds } from '../../../core/api/agent-ids.ts'
import {
  decidedMachine,
  type ExpectedTpms,
  type expectationRequest,
  expectedTpms,
  type WaitingMachines,
  waitingMachines,
} from '../../../core/api/expected-tpms.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type RegisteredAgent, registeredAgent } from '../../../core/api/registrar.ts'
import { type RevocationMarks, type RevokedAtRegistrar, revocationMarks, revokedAtRegistrar } from '../../../core/api/revoked.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiClient, ApiResponse } from '../../../io/http/api-client.ts'
import { negotiateWith } from './negotiate-with.ts'
import type { ServerAddress } from './server-address.ts'

/** The registrar as the tenant uses it. Methods throw what the client throws; a reply that should not be is a KeylimeError `refused` with its text. */
export class RegistrarService {
  readonly address: ServerAddress
  readonly #client: ApiClient
  #version: Promise<string> | undefined

  constructor(client: ApiClient, address: ServerAddress) {
    this.#client = client
    this.address = address
  }

  /** Undefined when the registrar does not know the agent, or it has not proved its TPM yet. */
  async agent(agentId: string): Promise<RegisteredAgent | undefined> {
    const response = await this.raw('GET', `/agents/${encodeURIComponent(agentId)}`)
    if (response.status === 404) return undefined
    return parseMessage(registeredAgent, succeeded(response).results, 'the registrar’s answer')
  }

  async agentIds(): Promise<string[]> {
    return parseMessage(agentIds, succeeded(await this.raw('GET', '/agents/')).results, 'the registrar’s answer')
  }

  /** False when there was nothing to delete. */
  async delete(agentId: string): Promise<boolean> {
    const response = await this.raw('DELETE', `/agents/${encodeURIComponent(agentId)}`)
    if (response.status === 404) return false
    succeeded(response)
    return true
  }

  /** Ends the registration and bars id and TPM. @returns undefined for a registrar that cannot: upstream's. */
  async revoke(agentId: string): Promise<RevokedAtRegistrar | undefined> {
    const response = await this.raw('PUT', `/agents/${encodeURIComponent(agentId)}/revoke`)
    if (!isOfOurs(response)) return undefined
    return parseMessage(revokedAtRegistrar, succeeded(response).results, 'the registrar’s answer')
  }

  /** Who may not register until it is forgotten; null for a registrar that keeps no such list. */
  async revoked(): Promise<RevocationMarks['revoked'] | null> {
    const response = await this.raw('GET', '/revocations')
    if (!isOfOurs(response)) return null
    return parseMessage(revocationMarks, succeeded(response).results, 'the registrar’s answer').revoked
  }

  /** Lets id and TPM register again. @returns false when they were not barred. */
  async forgetRevocation(agentId: string): Promise<boolean> {
    const response = await this.raw('DELETE', `/agents/${encodeURIComponent(agentId)}/revocation`)
    if (!isOfOurs(response)) return false
    succeeded(response)
    return true
  }

  /** Which TPMs operators expect. @throws KeylimeError `unsupported_version` for a registrar that cannot expect any: upstream's. */
  async expected(): Promise<ExpectedTpms> {
    return parseMessage(expectedTpms, ours(await this.raw('GET', '/expected')).results, 'the registrar’s answer')
  }

  /** Lets a TPM register. */
  async expect(expectation: z.input<typeof expectationRequest>): Promise<void> {
    succeeded(await this.raw('POST', '/expected', expectation))
  }

  /** @param name `ek-HEX` or `serial-HEX`. @returns false when nothing was said of it. */
  async forgetExpected(name: string): Promise<boolean> {
    const response = await this.raw('DELETE', `/expected/${name}`)
    if (response.status === 404) return false
    succeeded(response)
    return true
  }

  /** Who waits for an operator. @throws KeylimeError as `expected`. */
  async waiting(): Promise<WaitingMachines> {
    return parseMessage(waitingMachines, ours(await this.raw('GET', '/waiting')).results, 'the registrar’s answer')
  }

  /** @throws KeylimeError `agent_not_found` when it does not wait any more, `conflict` when it cannot be approved. */
  async decide(agentId: string, decision: 'approve' | 'refuse', ekHash: string): Promise<void> {
    const response = await this.raw('PUT', `/agents/${encodeURIComponent(agentId)}/${decision}`, { ek_hash: ekHash })
    const code = ({ 403: 'refused', 404: 'agent_not_found', 409: 'conflict' } as const)[response.status]
    if (code) throw new KeylimeError(code, response.message || `the registrar answered ${response.status}`, { hint: DECIDED_HINT })
    parseMessage(decidedMachine, succeeded(response).results, 'the registrar’s answer')
  }

  async raw(method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, body: object = {}): Promise<ApiResponse> {
    this.#version ??= negotiateWith(this.#client)
    const hasBody = method === 'PUT' || method === 'POST'
    return this.#client.request(method, `/v${await this.#version}${path}`, hasBody ? { body } : {})
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

/** Upstream's registrar has no such route, and says so in one of these ways. */
const isOfOurs = ({ status }: ApiResponse) => status !== 400 && status !== 404 && status !== 405

const DECIDED_HINT = '`keylime tenant pending` shows who waits, `keylime tenant expect --list` what operators said about TPMs'

/** @throws KeylimeError `unsupported_version` */
function ours(response: ApiResponse): ApiResponse {
  if (isOfOurs(response)) return succeeded(response)
  throw new KeylimeError('unsupported_version', 'this registrar does not know expected machines', {
    hint: 'it is upstream’s, or an older one of ours: upgrade it first',
  })
}

function succeeded(response: ApiResponse): ApiResponse {
  if (response.status === 200) return response
  const code = response.status === 403 || response.status === 401 ? 'forbidden' : 'refused'
  throw new KeylimeError(code, `the registrar answered ${response.status}${response.message ? `: ${response.message}` : ''}`, {
    ...(code === 'forbidden'
      ? { hint: 'client_cert must be an operator’s, from a CA that the registrar trusts: `keylime ca operator NAME` makes one' }
      : {}),
  })
}
