import { judgeStaticPcrs, parseTpmPolicy } from '../../../../src/core/policy/tpm-policy.ts'
import type { VerifiedPcrs } from '../../../../src/core/quote/verify-quote.ts'

const digest = (character: string, length = 64) => character.repeat(length)
const quoted = (values: Record<number, string>) =>
  ({
    hash: 'sha256',
    values: new Map(Object.entries(values).map(([pcr, hex]) => [Number(pcr), Buffer.from(hex, 'hex')])),
  }) as unknown as VerifiedPcrs

test('one value or several, of every bank; upper case is the same value', () => {
  const policy = parseTpmPolicy(JSON.stringify({ 0: digest('A'), 23: [digest('b', 40), digest('c', 96), digest('d', 128)] }))
  expect([...policy.allowed]).toEqual([
    [0, [digest('a')]],
    [23, [digest('b', 40), digest('c', 96), digest('d', 128)]],
  ])
  expect(policy.mask).toBe(0x800001)
})

test.each([
  ['', 0],
  ['{}', 0],
  ['{"mask":"0x408000"}', 0x408000],
  ['{"mask":"408000"}', 0x408000],
  ['{"mask":8}', 8],
  ['{"mask":"0xffffff"}', 0xffffff],
  [`{"15":"${digest('a')}","mask":"0x1"}`, 1],
])('%s asks for the PCRs of the mask, or of its values', (text, mask) => {
  expect(parseTpmPolicy(text).mask).toBe(mask)
})

test.each([
  ['{', /not valid JSON/],
  ['[]', /not a JSON object/],
  ['null', /not a JSON object/],
  ['7', /not a JSON object/],
  ['{"24":"x"}', /"24" is not a PCR number/],
  ['{"-1":"x"}', /"-1" is not a PCR number/],
  [`{"${'9'.repeat(5000)}":"x"}`, /^.{50,200}$/s],
  [`{"7":"${'1'.repeat(64)}","07":"${'2'.repeat(64)}"}`, /a PCR appears twice/],
  ['{"1.5":"x"}', /"1.5" is not a PCR number/],
  ['{"":"x"}', /"" is not a PCR number/],
  ['{"0x1":"x"}', /"0x1" is not a PCR number/],
  [`{"16":"${digest('a')}"}`, /PCR 16 binds the transport key/],
  [`{"10":"${digest('a')}"}`, /PCR 10 belongs to IMA/],
  ['{"15":""}', /PCR 15 has a value that is not a digest/],
  [`{"15":"${digest('a', 63)}"}`, /PCR 15 has a value that is not a digest/],
  [`{"15":"${digest('g')}"}`, /PCR 15 has a value that is not a digest/],
  [`{"15":["${digest('a')}",7]}`, /PCR 15 has a value that is not a digest/],
  ['{"15":{"sha256":"x"}}', /PCR 15 has a value that is not a digest/],
  ['{"mask":"0x1000000"}', /mask is not/],
  ['{"mask":-1}', /mask is not/],
  ['{"mask":1.5}', /mask is not/],
  ['{"mask":"all"}', /mask is not/],
  ['{"mask":null}', /mask is not/],
])('%s is refused', (text, reason) => {
  expect(() => parseTpmPolicy(text)).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringMatching(reason) }))
})

describe('judgement', () => {
  const policy = parseTpmPolicy(JSON.stringify({ 1: [digest('a'), digest('b')], 15: digest('c') }))
  const ids = (values: Record<number, string>) => judgeStaticPcrs(policy, quoted(values)).map(({ eventId }) => eventId)
  test('each PCR must have one of its values', () => {
    expect(ids({ 1: digest('b'), 15: digest('c') })).toEqual([])
    expect(ids({ 1: digest('c'), 15: digest('c') })).toEqual(['pcr_validation.invalid_pcr_1'])
    expect(ids({ 1: digest('c'), 15: digest('a') })).toEqual(['pcr_validation.invalid_pcr_1', 'pcr_validation.invalid_pcr_15'])
  })
  test('a PCR that was not quoted fails, whatever the others are', () => {
    expect(ids({ 1: digest('a') })).toEqual(['pcr_validation.missing_pcrs'])
    expect(ids({})).toEqual(['pcr_validation.missing_pcrs'])
  })
  test('no value that is allowed means that none is right', () => {
    expect(judgeStaticPcrs(parseTpmPolicy('{"15":[]}'), quoted({ 15: digest('0') }))).toHaveLength(1)
  })
})
