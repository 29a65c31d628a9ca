import { agentIds } from '../../../core/api/agent-ids.ts'
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

  async raw(method: 'GET' | 'PUT' | 'DELETE', path: string): Promise<ApiResponse> {
    this.#version ??= negotiateWith(this.#client)
    return this.#client.request(method, `/v${await this.#version}${path}`, method === 'PUT' ? { body: {} } : {})
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

/** Upstream's registrar has no such route, and says so in one of these ways. */
const isOfOurs = ({ status }: ApiResponse) => status !== 400 && status !== 404 && status !== 405

function succeeded(response: ApiResponse): ApiResponse {
  if (response.status === 200) return response
  const code = response.status === 403 || response.status === 401 ? 'forbidden' : 'refused'
  throw new KeylimeError(code, `the registrar answered ${response.status}${response.message ? `: ${response.message}` : ''}`, {
    ...(code === 'forbidden'
      ? { hint: 'client_cert must be an operator’s, of a CA that the registrar trusts: `keylime ca operator NAME` makes one' }
      : {}),
  })
}
