import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { readAsked } from '../../../src/core/attestation/asked-evidence.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { PARAMETERS } from './push-samples.ts'

const OFFERED = { scheme: 'ecdsa', hash: 'sha256', pcrs: [0, 7, 10, 16] }
const OFFERS = [OFFERED, { ...OFFERED, delivery: true }]
const asks = (...items: readonly [type: string, parameters: unknown][]): Buffer => {
  const requested = items.map(([type, parameters]) => ({ evidence_class: 'c', evidence_type: type, chosen_parameters: parameters }))
  return Buffer.from(JSON.stringify({ data: { attributes: { evidence_requested: requested } } }))
}

/** What a verifier asks of an agent: never more than was offered, nothing twice, no more than a TPM signs. */
export const pushAsked: Target = {
  seeds: () => [
    asks(['tpm_quote', PARAMETERS], ['uefi_log', { format: 'application/octet-stream' }], ['ima_log', { starting_offset: 3 }]),
    asks(['ima_log', null], ['x'.repeat(64), {}]),
    asks(['ima_log', null], ['keylime_delivery', { enrolment: '0'.repeat(32), generation: 1 }]),
    asks(['tpm_quote', { ...PARAMETERS, challenge: '"'.repeat(64), selected_subjects: {} }]),
    asks(['tpm_quote', PARAMETERS], ['tpm_quote', PARAMETERS]),
  ],
  words: ['tpm_quote', 'ima_log', 'uefi_log', 'selected_subjects', 'starting_offset', 'entry_count', 'format', '__proto__'].map(
    (name) => `"${name}":`,
  ),
  run(input) {
    const json = unlessRefused(['invalid_request'], () => ({ value: parseBoundedJson(input, 'the answer') }))
    for (const offered of OFFERS) {
      const asked = json && unlessRefused(['malformed', 'invalid_request'], () => readAsked(json.value, offered))
      if (!asked) continue
      const types = asked.items.map(({ type }) => type)
      demand(types.length > 0 && new Set(types).size === types.length, `asked for ${types.join()}`)
      demand(
        asked.unknown.every((type) => type.length <= 64 && !types.some((known) => known === type)),
        'a type is known and unknown',
      )
      for (const item of asked.items) {
        if (item.type === 'delivery') demand('delivery' in offered && item.generation > 0, 'a delivery that was not offered')
        if (item.type === 'ima_log') demand(item.offset >= 0 && (item.count ?? 0) >= 0, `entries ${item.offset} and ${item.count} on`)
        if (item.type !== 'tpm_quote') continue
        demand(item.challenge.length <= 64, `a challenge of ${item.challenge.length} bytes is signed`)
        const isRising = item.pcrs.every((pcr, i) => OFFERED.pcrs.includes(pcr) && (i === 0 || item.pcrs[i - 1]! < pcr))
        demand(isRising, `PCRs ${item.pcrs.join()}`)
      }
    }
  },
}
