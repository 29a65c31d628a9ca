import { z } from 'zod'

/**
 * `results` of `PUT /v2.x/agents/:id/attest` at the verifier, our own: `asked`, a machine that can be asked; `woken`, one that brings its evidence and waits for news; `later`, one that is
 * told when it comes next.
 */
export const attestNow = z.object({ told: z.enum(['asked', 'woken', 'later']) })
export type AttestNow = z.output<typeof attestNow>
