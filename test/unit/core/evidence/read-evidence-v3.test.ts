import { type AskedEvidence, resultsOfV3 as readV3 } from '../../../../src/core/evidence/read-evidence-v3.ts'

const asked = (changes: Partial<AskedEvidence> = {}): AskedEvidence => ({
  algorithms: { hash: 'sha256', encryption: 'ecc256', signing: 'ecdsa' },
  imaOffset: null,
  bootLog: false,
  ...changes,
})
const resultsOfV3 = (given: unknown, wanted: AskedEvidence) => readV3(given, wanted).results
const item = (evidence_type: string, data: unknown) => ({ evidence_class: 'x', evidence_type, data })
const QUOTE = item('tpm_quote', { subject_data: 'c', message: 'a', signature: 'b' })
const body = (...items: object[]) => ({ data: { type: 'attestation', attributes: { evidence_collected: items } } })

test('the three parts of a quote become its text, by the algorithms of the enrolled key', () => {
  expect(resultsOfV3(body(QUOTE), asked())).toEqual({ quote: 'ra:b:c', hash_alg: 'sha256', enc_alg: 'ecc256', sign_alg: 'ecdsa' })
})

test('logs count where they were asked for, from where they were asked for, and their last line is whole', () => {
  const all = body(item('of_tomorrow', 1), item('ima_log', { entries: 'one\ntwo' }), QUOTE, item('uefi_log', { entries: 'AAAA' }))
  expect(resultsOfV3(all, asked())).not.toHaveProperty('ima_measurement_list')
  expect(resultsOfV3(all, asked({ imaOffset: 7, bootLog: true }))).toMatchObject({
    ima_measurement_list: 'one\ntwo\n',
    ima_measurement_list_entry: 7,
    mb_measurement_list: 'AAAA',
  })
  expect(resultsOfV3(body(QUOTE, item('ima_log', { entries: '' })), asked({ imaOffset: 3 }))).toMatchObject({ ima_measurement_list: '' })
})

test('lines whose names are not UTF-8 come as they come from a machine that is asked', () => {
  const list = item('ima_log', { entries: 'one\ufffd\n', entries_raw: '0 b25l/w==\n' })
  expect(resultsOfV3(body(QUOTE, list), asked({ imaOffset: 0 }))).toMatchObject({ ima_measurement_list_raw: '0 b25l/w==\n' })
  expect(resultsOfV3(body(QUOTE, item('ima_log', { entries: 'one\n' })), asked({ imaOffset: 0 }))).not.toHaveProperty(
    'ima_measurement_list_raw',
  )
})

test('what systemd has measured comes with the boot log, where that was asked for', () => {
  const log = item('uefi_log', { entries: 'AAAA', systemd_measurement_list: '\x1e{}\n' })
  expect(resultsOfV3(body(QUOTE, log), asked({ bootLog: true }))).toMatchObject({ systemd_measurement_list: '\x1e{}\n' })
  expect(resultsOfV3(body(QUOTE, log), asked())).not.toHaveProperty('systemd_measurement_list')
  expect(resultsOfV3(body(QUOTE, item('uefi_log', { entries: 'AAAA' })), asked({ bootLog: true }))).not.toHaveProperty(
    'systemd_measurement_list',
  )
})

test.each([
  ['no object', null],
  ['nothing', {}],
  ['no evidence', body()],
  ['another type', { data: { type: 'session', attributes: { evidence_collected: [QUOTE] } } }],
  ['a quote that is none', body(item('tpm_quote', { message: 1 }))],
  ['a quote of two parts', body(item('tpm_quote', { message: 'a', signature: 'b' }))],
  ['more items than there are types', body(...Array.from({ length: 17 }, () => QUOTE))],
])('%s is no evidence', (_what, given) => {
  expect(resultsOfV3(given, asked({ imaOffset: 0 }))).toBeNull()
})

test('a log that cannot be read is one that did not come', () => {
  expect(resultsOfV3(body(QUOTE, item('ima_log', { entries: 5 })), asked({ imaOffset: 0 }))).not.toHaveProperty('ima_measurement_list')
})

describe('of a delivery', () => {
  const report = {
    ...{ enrolment: 'ab'.repeat(16), generation: 7, state: 'refused', files: 0, script: 'none', proof: null },
    error: 'x'.repeat(50_000),
  }
  const delivery = item('keylime_delivery', { transport_key: 'PEM', report })

  test('the transport key and the report count where they were asked for, and texts of the machine are cut', () => {
    const { results, report: said } = readV3(body(QUOTE, delivery), asked({ delivery: true }))
    expect(results).toMatchObject({ quote: 'ra:b:c', pubkey: 'PEM' })
    expect(said).toMatchObject({ state: 'refused', generation: 7 })
    expect(said!.error!.length).toBeLessThan(1100)
    expect(readV3(body(QUOTE, delivery), asked())).toEqual({ results: resultsOfV3(body(QUOTE), asked()), report: null })
  })

  test('nothing counts without a quote, nor of an item that cannot be read', () => {
    expect(readV3(body(delivery), asked({ delivery: true }))).toEqual({ results: null, report: null })
    for (const data of [null, { transport_key: 5, report: null }, { transport_key: 'PEM', report: { state: 'owned' } }])
      expect(readV3(body(QUOTE, item('keylime_delivery', data)), asked({ delivery: true }))).toEqual(readV3(body(QUOTE), asked()))
  })
})
