import { chooseEvidence } from '../../../../../src/core/attestation/choose-evidence.ts'
import { parseTpmPolicy } from '../../../../../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../../../../../src/core/tpm/public-area.ts'
import { type Chosen, choose, type Facts, isChosenFor, requestedText } from '../../../../../src/roles/verifier/push/choice.ts'
import type { Offer } from '../../../../../src/roles/verifier/push/read-offer.ts'
import { softwareAk } from '../../../../software-ak.ts'

const ak = parsePublicArea(softwareAk('ecc').public)
const BLANK = Buffer.alloc(16).toString('base64')
const facts: Facts = {
  ak,
  accepted: { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] },
  policy: { tpm: parseTpmPolicy('{"mask":"0x1"}'), ima: null, boot: null },
  nextEntry: 3,
  delivery: { enrolment: '0'.repeat(32), generation: 1 },
}

/** The words of the machine have the place holder of the challenge in them. */
function offer(changes: Record<string, unknown> = {}): Offer {
  const key = { key_class: `"challenge":"${BLANK}"`, key_algorithm: BLANK, key_size: 256, server_identifier: 'ak', local_identifier: BLANK }
  const capabilities = {
    hash_algorithms: ['sha256'],
    signature_schemes: ['ecdsa'],
    available_subjects: { [`"challenge":"${BLANK}"`]: [], sha256: [0, 16] },
    certification_keys: [{ ...key, public: ak.bytes.toString('base64') }],
    ...changes,
  }
  const evidence = [
    { evidence_class: 'certification', evidence_type: 'tpm_quote', capabilities },
    { evidence_class: 'keylime', evidence_type: 'keylime_delivery', capabilities: { version: 1 } },
  ]
  return { sha256: 'digest', early: false, bootTime: null, evidence: () => evidence }
}

const chosen = () => choose(offer(), facts) as Chosen

test('what is kept asks with each challenge for what would be chosen with it', () => {
  const kept = chosen()
  for (const fill of [0, 1, 255]) {
    const challenge = Buffer.alloc(16, fill)
    const choice = chooseEvidence(offer().evidence(), { ...facts, challenge })
    if (!choice.ok) throw new Error('it is refused')
    expect(JSON.parse(requestedText(kept, challenge.toString('base64')))).toEqual(JSON.parse(JSON.stringify(choice.requested)))
    expect(kept.asked).toEqual(choice.asked)
  }
})

test('a machine that cannot prove what it must is refused', () => {
  expect(choose(offer({ hash_algorithms: [] }), facts)).toMatchObject({ ok: false, errors: [{ status: 422 }] })
})

test.each<[string, Partial<Facts>]>([
  ['another key', { ak: parsePublicArea(softwareAk('ecc').public) }],
  ['other algorithms', { accepted: { ...facts.accepted } }],
  ['another policy', { policy: { ...facts.policy } }],
  ['another entry of the list', { nextEntry: 4 }],
  ['another generation', { delivery: { ...facts.delivery!, generation: 2 } }],
  ['another enrolment', { delivery: { ...facts.delivery!, enrolment: '1'.repeat(32) } }],
  ['no delivery any more', { delivery: null }],
])('it is chosen anew for %s', (_, changes) => expect(isChosenFor(chosen(), offer(), { ...facts, ...changes })).toBe(false))

test('it is chosen anew for another offer, and not for the same again', () => {
  expect(isChosenFor(chosen(), { ...offer(), sha256: 'another' }, facts)).toBe(false)
  expect(isChosenFor(chosen(), offer(), { ...facts, delivery: { ...facts.delivery! } })).toBe(true)
})
