import { z } from 'zod'
import { prose } from './prose.ts'

/** `POST /v2.x/notifications/notifier`, our own: the certificate that the verifier's notices are verified with, PEM. */
export const notifierIntroduction = z.object({ certificate: z.string().max(16_384) })
export type NotifierIntroduction = z.input<typeof notifierIntroduction>

/** What became of a notice at an agent of ours. `waiting`: not judged yet, or it cannot be acted upon now. `unknown`: it has never come, or long ago. */
export const NOTICE_OUTCOMES = ['waiting', 'acted', 'failed', 'refused', 'unknown'] as const

/** `results` of a notification, and of `GET /v2.x/notifications/revocation?digest=`, at an agent of ours; one of upstream's says nothing. */
export const noticeOutcome = z.object({ outcome: z.enum(NOTICE_OUTCOMES), reason: prose.nullable() })
export type NoticeOutcome = z.output<typeof noticeOutcome>

export const NOTICE_DIGEST = /^[0-9a-f]{64}$/
