import { z } from 'zod'

const version = z.string().max(16)

/** `results` of `GET /version` at registrar and verifier (protocol 1.2). Upstream's registrars before 7.12 answer with less. */
export const serverVersion = z.object({ current_version: version.optional(), supported_versions: z.array(version).max(64).optional() })
export type ServerVersion = z.input<typeof serverVersion>
