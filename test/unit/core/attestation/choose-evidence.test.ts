import type { Negotiation } from '../../../../src/core/api/push/attestation.ts'
import { type ChoosingFacts, chooseEvidence } from '../../../../src/core/attestation/choose-evidence.ts'
import { parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { softwareAk } from '../../../software-ak.ts'

type Offered = Negotiation['data']['attributes']['evidence_supported']
const aks = { rsa: parsePublicArea(softwareAk('rsa').public), ecc: parsePublicArea(softwareAk('ecc').public) }
const ALL = Array.from({ length: 24 }, (_, i) => i)

const facts = (changes: Partial<ChoosingFacts> = {}): ChoosingFacts => ({
  ak: aks.ecc,
  accepted: { hash: ['sha256'], encryption: ['ecc', 'rsa'], signing: ['ecdsa', 'rsassa'] },
  policy: { tpm: parseTpmPolicy('{"mask":"0x1"}'), ima: null, boot: null },
  nextEntry: 0,
  challenge: Buffer.alloc(16, 7),
  ...changes,
})
const IMA = { judge: () => ({ failures: [], progress: null as never }) }
const BOOT = { pcrs: [0, 1], judge: () => ({ failures: [], bootAggregates: [] }) } as never

function offered(quote: Record<string, unknown> = {}, logs: Record<string, Record<string, unknown>> = {}): Offered {
  const log = (type: string, capabilities: object) => ({ evidence_class: 'log', evidence_type: type, capabilities })
  const capabilities = {
    hash_algorithms: ['sha1', 'sha256'],
    signature_schemes: ['ecdsa', 'rsassa'],
    available_subjects: { sha1: ALL, sha256: ALL },
    certification_keys: [
      { key_class: 'asymmetric', key_algorithm: 'ecc', server_identifier: 'ak', public: aks.ecc.bytes.toString('base64') },
    ],
    ...quote,
  }
  return [
    { evidence_class: 'certification', evidence_type: 'tpm_quote', capabilities },
    log('uefi_log', { entry_count: 3, supports_partial_access: false, formats: ['application/octet-stream'], ...logs['uefi_log'] }),
    log('ima_log', { entry_count: 100, supports_partial_access: true, formats: ['text/plain'], ...logs['ima_log'] }),
    { evidence_class: 'other', evidence_type: 'of_tomorrow', capabilities: 'anything' },
  ]
}

const chosen = (offer: Offered, changes: Partial<ChoosingFacts> = {}) => {
  const choice = chooseEvidence(offer, facts(changes))
  if (!choice.ok) throw new Error(JSON.stringify(choice.errors))
  return choice
}
const pointers = (offer: Offered, changes: Partial<ChoosingFacts> = {}) => {
  const choice = chooseEvidence(offer, facts(changes))
  return choice.ok ? [] : choice.errors.map(({ status, pointer }) => [status, pointer!.replace('/data/attributes/evidence_supported', '')])
}

test('without any policy a quote of PCR 16 is asked for: it proves that the machine lives', () => {
  const { asked, requested } = chosen(offered(), { policy: { tpm: parseTpmPolicy('{}'), ima: null, boot: null } })
  expect(requested.map(({ evidence_type }) => evidence_type)).toEqual(['tpm_quote'])
  expect(requested[0]!.chosen_parameters).toMatchObject({ selected_subjects: { sha1: null, sha256: [16] } })
  expect(asked).toEqual({ algorithms: { hash: 'sha256', encryption: 'ecc256', signing: 'ecdsa' }, imaOffset: null, bootLog: false })
})

test('scheme, hash and kind are those of the enrolled key, whatever is offered', () => {
  const key = { key_class: 'asymmetric', key_algorithm: 'ecc', key_size: 256, server_identifier: 'ak', local_identifier: '00', public: '' }
  const area = aks.rsa.bytes
  const sized = Buffer.concat([Buffer.from([area.length >> 8, area.length & 0xff]), area])
  for (const shown of [area, sized]) {
    const keys = [
      { ...key, public: aks.ecc.bytes.toString('base64') },
      { ...key, public: shown.toString('base64') },
    ]
    const { asked, requested } = chosen(offered({ certification_keys: keys }), { ak: aks.rsa })
    expect(asked.algorithms).toEqual({ hash: 'sha256', encryption: 'rsa2048', signing: 'rsassa' })
    expect(requested[0]!.chosen_parameters).toMatchObject({
      signature_scheme: 'rsassa',
      certification_key: { public: shown.toString('base64') },
    })
  }
})

test('a key that was offered in part is named by nobody', () => {
  expect(chosen(offered()).requested[0]!.chosen_parameters).not.toHaveProperty('certification_key')
})

test.each([
  [
    'another key alone',
    { certification_keys: [{ key_class: 'a', key_algorithm: 'ecc', server_identifier: 'ak', public: 'AAAA' }] },
    '/0/capabilities/certification_keys',
  ],
  ['no key', { certification_keys: [] }, '/0/capabilities/certification_keys'],
  ['another hash', { hash_algorithms: ['sha384'] }, '/0/capabilities/hash_algorithms'],
  ['another scheme', { signature_schemes: ['rsapss'] }, '/0/capabilities/signature_schemes'],
  ['another bank', { available_subjects: { sha384: ALL } }, '/0/capabilities/available_subjects'],
  ['a bank without PCR 16', { available_subjects: { sha256: [0, 1] } }, '/0/capabilities/available_subjects'],
  ['banks that are none', { available_subjects: [] }, '/0/capabilities/available_subjects'],
])('%s is refused with the member that is meant', (_what, quote, pointer) => {
  expect(pointers(offered(quote))).toEqual([[422, pointer]])
})

test('what is needed and not offered is named; algorithms that nobody accepts are, too', () => {
  expect(pointers([])).toEqual([[422, '']])
  expect(pointers(offered().slice(0, 1), { policy: { tpm: parseTpmPolicy('{}'), ima: IMA, boot: BOOT } })).toEqual([
    [422, ''],
    [422, ''],
  ])
  expect(pointers(offered(), { accepted: { hash: ['sha384'], encryption: ['rsa'], signing: ['rsassa'] } })).toHaveLength(3)
  const formats = { uefi_log: { formats: ['x'] }, ima_log: { formats: ['y'] } }
  expect(pointers(offered({}, formats), { policy: { tpm: parseTpmPolicy('{}'), ima: IMA, boot: BOOT } })).toEqual([
    [422, '/1/capabilities/formats'],
    [422, '/2/capabilities/formats'],
  ])
})

test.each([
  ['goes on', 100, { entry_count: 100 }, 100],
  ['begins, at the first time', 0, { entry_count: 100 }, 0],
  ['begins again where the list is shorter than what was judged', 101, { entry_count: 100 }, 0],
  ['begins again where nobody says how long it is', 10, { entry_count: null }, 0],
  ['begins again where it comes whole or not at all', 10, { supports_partial_access: false }, 0],
  ['is asked for where it is empty', 0, { entry_count: 0 }, 0],
])('the measurement list %s', (_what, nextEntry, log, offset) => {
  const policy = { tpm: parseTpmPolicy('{}'), ima: IMA, boot: null }
  const { asked, requested } = chosen(offered({}, { ima_log: log }), { policy, nextEntry })
  expect(asked.imaOffset).toBe(offset)
  expect(requested[1]).toMatchObject({ evidence_type: 'ima_log', chosen_parameters: { starting_offset: offset, format: 'text/plain' } })
  expect(requested[0]!.chosen_parameters).toMatchObject({ selected_subjects: { sha256: [10, 16] } })
})

test('the boot log is asked for where a policy reads it', () => {
  const { asked, requested } = chosen(offered(), { policy: { tpm: parseTpmPolicy('{}'), ima: null, boot: BOOT } })
  expect(asked.bootLog).toBe(true)
  expect(requested[1]).toMatchObject({ evidence_type: 'uefi_log', chosen_parameters: { format: 'application/octet-stream' } })
  expect(requested[0]!.chosen_parameters).toMatchObject({ selected_subjects: { sha256: [0, 1, 16] } })
})

test('a name of the machine’s own making is cut in what it is told, and in what is kept of it', () => {
  const bank = 'b'.repeat(50_000)
  const choice = chooseEvidence(offered({ available_subjects: { [bank]: ['no number'] } }), facts())
  if (choice.ok) throw new Error('it was taken')
  expect(JSON.stringify(choice.errors).length).toBeLessThan(1000)
})
