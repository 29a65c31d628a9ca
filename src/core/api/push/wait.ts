import { z } from 'zod'
import { authorityIntroduction } from '../authority-introduction.ts'
import { NOTICE_OUTCOMES } from '../notice.ts'
import { prose } from '../prose.ts'

/**
 * `POST /v3.0/agents/:id/wait`, by the token of a machine that brings its evidence: our own beside API 3.0. The verifier holds the request until there is something for the machine, or
 * `seconds` are over. Everything is told again until it is acknowledged, in the next of these requests.
 */
const MAX_NOTICES = 64
const digest = z.string().regex(/^[0-9a-f]{64}$/)

export const waitRequest = z.object({
  /** At most; the verifier may hold it shorter. 0: answer at once. */
  seconds: z.number().min(0).max(3600),
  /** Notices that were taken, by SHA-256 of their text, and what became of them (`notice.ts`). */
  acknowledged: z.array(z.object({ digest, outcome: z.enum(NOTICE_OUTCOMES), reason: prose.nullable() })).max(MAX_NOTICES),
  /** SHA-256 of the notifier's certificate (PEM text) that the machine knows; null for none. */
  notifier: digest.nullable(),
  /**
   * What it was told of authorities last (SHA-256 of `tellingText`), and which of them it believes that signs now (`keyHash`); null before it was told anything. Missing of a machine that
   * follows none.
   */
  authority: z.object({ digest, believes: digest.nullable() }).nullish(),
})
export type WaitRequest = z.infer<typeof waitRequest>

export const waitAnswer = z.object({
  data: z.object({
    type: z.literal('news'),
    attributes: z.object({
      /** Why the machine shall attest at once, for its log; null when it need not. */
      attest: z.string().max(300).nullable(),
      /** Signed revocations, as `POST notifications/revocation` has them. */
      notices: z
        .array(
          z.object({ msg: z.string().max(65_536), signature: z.string().max(8192), verifier_signature: z.string().max(8192).nullish() }),
        )
        .max(MAX_NOTICES),
      /** PEM, when the machine knows another or none. */
      notifier: z.string().max(16_384).nullable(),
      /** The authorities that count, where the machine has not heard of them. */
      authority: authorityIntroduction.optional(),
    }),
  }),
})
export type WaitAnswer = z.infer<typeof waitAnswer>
