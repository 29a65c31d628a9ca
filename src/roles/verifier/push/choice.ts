import { type Choice, type ChoosingFacts, chooseEvidence, type RequestedEvidence } from '../../../core/attestation/choose-evidence.ts'
import type { AskedEvidence } from '../../../core/evidence/read-evidence-v3.ts'
import type { Offer, OfferHead } from './read-offer.ts'

/**
 * What was chosen for one offer, in little space. As long as neither the offer nor what the verifier knows of the machine changes, each attestation asks for the same, with another challenge.
 */
export interface Chosen {
  readonly offer: OfferHead
  readonly facts: Facts
  readonly asked: AskedEvidence
  /** JSON of what is requested, up to the challenge, and behind it. */
  readonly before: string
  readonly after: string
}

/** All that a choice depends on beside the offer and the challenge. */
export type Facts = Omit<ChoosingFacts, 'challenge'>

export function choose(offer: Offer, facts: Facts): Chosen | Extract<Choice, { ok: false }> {
  const choice = chooseEvidence(offer.evidence(), { ...facts, challenge: BLANK })
  if (!choice.ok) return choice
  const { sha256, early, bootTime } = offer
  return { offer: { sha256, early, bootTime }, facts, asked: choice.asked, ...aroundChallenge(choice.requested) }
}

/** Whether it is what would be chosen now. */
export const isChosenFor = ({ offer, facts }: Chosen, other: OfferHead, now: Facts): boolean =>
  other.sha256 === offer.sha256 &&
  now.ak === facts.ak &&
  now.accepted === facts.accepted &&
  now.policy === facts.policy &&
  now.nextEntry === facts.nextEntry &&
  now.delivery?.enrolment === facts.delivery?.enrolment &&
  now.delivery?.generation === facts.delivery?.generation

/** JSON of what is requested. @param challenge base64. */
export const requestedText = ({ before, after }: Pick<Chosen, 'before' | 'after'>, challenge: string): string =>
  `${before}${challenge}${after}`

/** Stands for the challenge in what is kept. */
const BLANK = Buffer.alloc(16)

/** The quote comes first, and in it none of the machine's words before the challenge. @throws where no challenge would be asked for: a quote without one proves nothing. */
function aroundChallenge(requested: readonly RequestedEvidence[]): Pick<Chosen, 'before' | 'after'> {
  const text = JSON.stringify(requested)
  const blank = `"challenge":"${BLANK.toString('base64')}"`
  const at = text.indexOf(blank)
  if (at < 0) throw new Error('what is requested has no challenge')
  return { before: text.slice(0, at + '"challenge":"'.length), after: text.slice(at + blank.length - 1) }
}
