import assert from 'node:assert/strict'
import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { parseMessage } from '../../../src/core/api/parse-message.ts'
import { negotiation } from '../../../src/core/api/push/attestation.ts'
import { readRefusal } from '../../../src/core/api/push/error-answer.ts'
import { errorDocument } from '../../../src/core/api/push/json-api.ts'
import { readAsked } from '../../../src/core/attestation/asked-evidence.ts'
import { chooseEvidence } from '../../../src/core/attestation/choose-evidence.ts'
import { parseTpmPolicy } from '../../../src/core/policy/tpm-policy.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { AK, NEGOTIATION, NONCE } from './push-samples.ts'

const PCRS = [0, 7, 10, 16]
const DELIVERED = { enrolment: '0'.repeat(32), generation: 1 }
const FACTS = {
  ak: AK,
  accepted: { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] },
  policy: { tpm: parseTpmPolicy('{"mask": "0x481"}'), ima: {}, boot: { pcrs: [7] } },
  nextEntry: 4,
  challenge: NONCE.subarray(0, 16),
  delivery: { ...DELIVERED, text: 'of the store' },
} as never
const OFFERED = { scheme: 'ecdsa', hash: 'sha256', pcrs: PCRS, delivery: true }
const without = (member: string) => JSON.stringify(NEGOTIATION).replaceAll(`"${member}"`, `"${member}s"`)

/**
 * What a machine can prove: the verifier asks for what its policies need, whatever is offered, in words that an agent of ours understands; or says why not, in a document that
 * an agent reads.
 */
export const pushNegotiation: Target = {
  seeds: () =>
    [JSON.stringify(NEGOTIATION), without('sha256'), without('ima_log'), without('public'), without('keylime_delivery')].map((text) =>
      Buffer.from(text),
    ),
  maxBytes: 8192,
  words: ['tpm_quote', 'ima_log', 'uefi_log', 'ak', '__proto__', 'available_subjects', 'entry_count', 'formats'].map(
    (name) => `"${name}":`,
  ),
  run(input) {
    const offered = unlessRefused(['invalid_request'], () =>
      parseMessage(negotiation, parseBoundedJson(input, 'the attestation'), 'the attestation'),
    )
    if (!offered) return
    const choice = chooseEvidence(offered.data.attributes.evidence_supported, FACTS)
    if (!choice.ok) {
      const document = errorDocument(choice.errors)
      demand(document.length < 100_000, () => `the refusal has ${document.length} characters`)
      demand(readRefusal(JSON.parse(document)).code === 'invalid_resource_data', 'the refusal has no code')
      return
    }
    const asked = readAsked(JSON.parse(JSON.stringify({ data: { attributes: { evidence_requested: choice.requested } } })), OFFERED)
    const offset = choice.asked.imaOffset!
    demand(offset === 0 || offset === 4, `the list is asked for from ${offset} on`)
    assert.deepEqual(asked, {
      items: [
        { type: 'tpm_quote', challenge: NONCE.subarray(0, 16), pcrs: PCRS },
        { type: 'uefi_log' },
        { type: 'ima_log', offset, count: null },
        ...(choice.asked.delivery ? [{ type: 'delivery', ...DELIVERED }] : []),
      ],
      unknown: [],
    })
  },
}
