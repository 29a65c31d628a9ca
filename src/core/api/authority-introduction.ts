import { z } from 'zod'

/**
 * `POST /v2.x/notifications/authority`, our own: the authorities that count for the verifier, PEM, and the bridge from the one before to the next while there
 * are two of them.
 */
export const authorityIntroduction = z.object({ authorities: z.string().max(49_152), bridge: z.string().max(16_384).nullable() })
export type AuthorityIntroduction = z.input<typeof authorityIntroduction>

/** What names it. */
export const tellingText = ({ authorities, bridge }: AuthorityIntroduction): string => JSON.stringify([authorities, bridge])
