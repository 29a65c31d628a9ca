import { API_VERSIONS, CURRENT_VERSION, negotiateVersion } from '../../core/api/versions.ts'
import type { ApiClient } from '../../io/http/api-client.ts'

/** The version to talk to a server with: the highest that both know below 3; the current one when the server does not say (protocol 1.3). */
export async function negotiated(client: ApiClient): Promise<string> {
  const { status, results } = await client.request('GET', '/version')
  const { supported_versions: versions, current_version: current } = (results ?? {}) as {
    supported_versions?: unknown
    current_version?: unknown
  }
  if (status !== 200) return CURRENT_VERSION
  const offered = Array.isArray(versions) ? versions.map(String) : [String(current)]
  return negotiateVersion(offered, API_VERSIONS) ?? CURRENT_VERSION
}
