import type { ServerVersion } from '../../../core/api/server-version.ts'
import { API_VERSIONS, CURRENT_VERSION } from '../../../core/api/versions.ts'
import type { ApiReply } from '../../../io/http/route.ts'

/** `GET /version` (protocol 1.2). */
export const showVersion = (): ApiReply => ({
  results: { current_version: CURRENT_VERSION, supported_versions: [...API_VERSIONS] } satisfies ServerVersion,
})
