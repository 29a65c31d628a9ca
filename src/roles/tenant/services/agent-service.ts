import { agentVersion } from '../../../core/api/agent.ts'
import { API_VERSIONS, CURRENT_VERSION, isVersion, negotiateVersion } from '../../../core/api/versions.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiClient, ApiResponse } from '../../../io/http/api-client.ts'

/** One agent's own API as the tenant uses it. */
export class AgentService {
  readonly #client: ApiClient
  readonly version: string

  private constructor(client: ApiClient, version: string) {
    this.#client = client
    this.version = version
  }

  /** @param wanted `--agent-api-version`; empty: ask the agent. @throws KeylimeError `unsupported_version` when there is no common one. */
  static async connect(client: ApiClient, wanted: string): Promise<AgentService> {
    if (wanted !== '') {
      if (!isVersion(wanted)) throw new KeylimeError('usage', `--agent-api-version ${wanted} is not a version such as ${CURRENT_VERSION}`)
      return new AgentService(client, wanted)
    }
    const response = await client.request('GET', '/version')
    const parsed = agentVersion.safeParse(response.results)
    if (response.status !== 200 || !parsed.success) return new AgentService(client, CURRENT_VERSION)
    const { supported_version: one, supported_versions: several } = parsed.data
    const version = negotiateVersion(several ?? one, API_VERSIONS)
    if (version) return new AgentService(client, version)
    throw new KeylimeError('unsupported_version', `the agent speaks only API version ${[several ?? one].flat().join(', ')}`, {
      hint: 'upgrade the agent, or set api_versions in its agent.conf',
    })
  }

  get(path: string, query: Record<string, string>): Promise<ApiResponse> {
    return this.#client.request('GET', `/v${this.version}${path}`, { query })
  }

  post(path: string, body: unknown): Promise<ApiResponse> {
    return this.#client.request('POST', `/v${this.version}${path}`, { body })
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}
