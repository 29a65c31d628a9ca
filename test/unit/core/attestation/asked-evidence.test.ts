import { type Offered, readAsked } from '../../../../src/core/attestation/asked-evidence.ts'

const offered: Offered = { scheme: 'rsassa', hash: 'sha256', pcrs: [0, 1, 2, 7, 10, 15, 16] }
const CHALLENGE = Buffer.alloc(16, 7)
const quote = (changes: Record<string, unknown> = {}) => ({
  evidence_class: 'certification',
  evidence_type: 'tpm_quote',
  chosen_parameters: {
    signature_scheme: 'rsassa',
    challenge: CHALLENGE.toString('base64'),
    hash_algorithm: 'sha256',
    selected_subjects: { sha256: [15, 10, 10], sha1: null },
    certification_key: null,
    ...changes,
  },
})
const ima = (parameters: unknown = { starting_offset: 5, format: 'text/plain' }) => ({
  evidence_class: 'log',
  evidence_type: 'ima_log',
  chosen_parameters: parameters,
})
const uefi = { evidence_class: 'log', evidence_type: 'uefi_log', chosen_parameters: { format: 'application/octet-stream' } }
const read = (...requested: unknown[]) => readAsked({ data: { attributes: { evidence_requested: requested } } }, offered)

test('what is asked for, in its order; PCRs once each', () => {
  expect(read(ima(), quote(), uefi)).toEqual({
    items: [{ type: 'ima_log', offset: 5, count: null }, { type: 'tpm_quote', challenge: CHALLENGE, pcrs: [10, 15] }, { type: 'uefi_log' }],
    unknown: [],
  })
})

test('a log without parameters is asked for whole; a challenge that is no base64 is taken as it stands', () => {
  expect(read(ima(null)).items).toEqual([{ type: 'ima_log', offset: 0, count: null }])
  expect(read(quote({ challenge: 'no base64!' })).items).toMatchObject([{ challenge: Buffer.from('no base64!') }])
})

test('a bank that is not wanted is not quoted, and PCR 16 alone is no reason to refuse', () => {
  expect(read(quote({ selected_subjects: { sha256: null, sha1: [0, 1] } })).items).toMatchObject([{ pcrs: [] }])
  expect(read(quote({ selected_subjects: {} })).items).toMatchObject([{ pcrs: [] }])
})

test('types that nobody here knows are passed over, beside those that are known', () => {
  const other = { evidence_class: 'other', evidence_type: 'keylime_payload', chosen_parameters: { anything: [1] } }
  expect(read(other, quote())).toMatchObject({ items: [{ type: 'tpm_quote' }], unknown: ['keylime_payload'] })
})

const REFUSED: [string, () => unknown, RegExp][] = [
  ['nothing', () => read(), /cannot be read/],
  [
    'unknown types alone',
    () => read({ evidence_class: 'x', evidence_type: 'y', chosen_parameters: {} }),
    /nothing that this agent knows: y/,
  ],
  ['the same twice', () => read(quote(), quote()), /tpm_quote twice/],
  ['another scheme', () => read(quote({ signature_scheme: 'ecdsa' })), /by ecdsa; the key signs by rsassa/],
  ['another hash', () => read(quote({ hash_algorithm: 'sha1' })), /a quote of sha1; the key signs with sha256/],
  ['PCRs that are not there', () => read(quote({ selected_subjects: { sha256: [0, 23] } })), /PCR 23 of sha256/],
  ['PCRs beyond any TPM', () => read(quote({ selected_subjects: { sha256: [4000] } })), /cannot be read/],
  [
    'a challenge that is too long to be signed',
    () => read(quote({ challenge: Buffer.alloc(65).toString('base64') })),
    /challenge of 65 bytes/,
  ],
  ['no challenge', () => read(quote({ challenge: '' })), /cannot be read/],
  ['a log in another format', () => read(ima({ starting_offset: 0, format: 'application/x' })), /it was offered as text\/plain/],
  ['an offset below zero', () => read(ima({ starting_offset: -1, format: 'text/plain' })), /ima_log cannot be read/],
  ['a fraction of an offset', () => read(ima({ starting_offset: 0.5 })), /ima_log cannot be read/],
  ['no document', () => readAsked(undefined, offered), /cannot be read/],
  ['too many things', () => read(...Array(17).fill(quote())), /cannot be read/],
]
test.each(REFUSED)('refused: %s', (_, run, words) => {
  expect(run).toThrow(words)
})
