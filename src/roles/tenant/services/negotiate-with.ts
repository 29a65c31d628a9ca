import { serverVersion } from '../../../core/api/server-version.ts'
import { API_VERSIONS, CURRENT_VERSION, negotiateVersion } from '../../../core/api/versions.ts'
import type { ApiClient } from '../../../io/http/api-client.ts'

/** Of servers that do not say on this port, as registrars of upstream's before 7.12; newer ones understand it too. */
const UNTOLD = '2.1'

/** The version to talk to a server with: the highest that both know below 3 (protocol 1.3). */
export async function negotiateWith(client: ApiClient): Promise<string> {
  const { status, results } = await client.request('GET', '/version')
  if (status !== 200) return UNTOLD
  const { supported_versions: versions, current_version: current = '' } = serverVersion.safeParse(results).data ?? {}
  const offered = versions ?? [current]
  return negotiateVersion(offered, API_VERSIONS) ?? CURRENT_VERSION
}
