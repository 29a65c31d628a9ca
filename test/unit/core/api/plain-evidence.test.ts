import fc from 'fast-check'
import { integrityQuote } from '../../../../src/core/api/agent.ts'
import { plainIntegrityQuote, plainQuoteData, plainSubmission } from '../../../../src/core/api/plain-evidence.ts'
import { dataOf, submission } from '../../../../src/core/api/push/attestation.ts'

const text = fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('x'.repeat(64), 'x'.repeat(65), 'x'.repeat(8192), 'x'.repeat(8193)))
const odd = fc.oneof(
  { weight: 8, arbitrary: text },
  fc.jsonValue(),
  fc.constantFrom(undefined, null, 0, -1, 1.5, 2 ** 53, 'x'.repeat(65_537)),
)
const without = (members: Record<string, fc.Arbitrary<unknown>>) =>
  fc.oneof({ weight: 9, arbitrary: fc.record(members, { requiredKeys: [] }) }, fc.jsonValue())

/** What the schema makes of it, without members that it does not know; null for what it refuses. */
const read = (schema: { safeParse(value: unknown): { success: boolean; data?: unknown } }, value: unknown) => {
  const parsed = schema.safeParse(value)
  return parsed.success ? parsed.data : null
}

test.each([
  [
    'a submission',
    plainSubmission,
    submission,
    without({
      data: without({
        type: fc.oneof({ weight: 9, arbitrary: fc.constantFrom('attestation', 'error') }, odd),
        attributes: without({
          evidence_collected: fc.oneof(
            {
              weight: 9,
              arbitrary: fc.array(without({ evidence_class: odd, evidence_type: odd, data: fc.jsonValue() }), { maxLength: 3 }),
            },
            odd,
          ),
        }),
      }),
    }),
  ],
  ['the data of a quote', plainQuoteData, dataOf.tpm_quote, without({ subject_data: odd, message: odd, signature: odd })],
  [
    'an integrity quote',
    plainIntegrityQuote,
    integrityQuote,
    without({
      ...{
        quote: odd,
        hash_alg: odd,
        enc_alg: odd,
        sign_alg: odd,
        pubkey: odd,
        ima_measurement_list: odd,
        ima_measurement_list_entry: fc.oneof(fc.nat(), odd),
      },
      ...{ ima_measurement_list_raw: odd, mb_measurement_list: odd, systemd_measurement_list: odd, boottime: fc.oneof(fc.integer(), odd) },
    }),
  ],
] as const)('%s that is plain is what the schema reads', (_, plain, schema, values: fc.Arbitrary<unknown>) => {
  let taken = 0
  fc.assert(
    fc.property(values, (value) => {
      if (plain(value) === null) return
      taken++
      expect(read(schema, value)).toEqual(read(schema, plain(value)))
      expect(schema.safeParse(value).success).toBe(true)
    }),
    { numRuns: 3000 },
  )
  expect(taken).toBeGreaterThan(0)
})

const items = (count: number) => Array.from({ length: count }, () => ({ evidence_class: 'x', evidence_type: 'y', data: null }))
const collected = (evidence_collected: unknown) => ({ data: { type: 'attestation', attributes: { evidence_collected } } })

test.each([
  ['too many items', collected(items(17))],
  ['an item without data', collected([{ evidence_class: 'x', evidence_type: 'y' }])],
  ['a name that is too long', collected([{ evidence_class: 'x', evidence_type: 'y'.repeat(65), data: null }])],
  ['another type', { data: { ...collected([]).data, type: 'session' } }],
  ['a list', [collected([])]],
])('a submission with %s is not plain', (_, value) => expect(plainSubmission(value)).toBeNull())

test('what machines send is plain', () => {
  expect(plainSubmission(collected(items(16)))).not.toBeNull()
  expect(plainQuoteData({ subject_data: 'x', message: 'y', signature: 'z' })).not.toBeNull()
  const quote = { quote: 'r', hash_alg: 'sha256', enc_alg: 'ecc', sign_alg: 'ecdsa' }
  expect(plainIntegrityQuote(quote)).not.toBeNull()
  expect(
    plainIntegrityQuote({ ...quote, pubkey: null, ima_measurement_list: 'x', ima_measurement_list_entry: 3, boottime: 5 }),
  ).not.toBeNull()
})
