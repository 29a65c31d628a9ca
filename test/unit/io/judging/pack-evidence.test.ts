import { createHash, randomBytes } from 'node:crypto'
import { verifierOptions } from '../../../../src/config/verifier.ts'
import { FRESH_IMA } from '../../../../src/core/ima/ima-policy.ts'
import { packEvidence, unpackEvidence } from '../../../../src/io/judging/pack-evidence.ts'

const evidence = (reply: unknown) => ({
  ak: '',
  known: { transportKey: null, accepted: { hash: [], encryption: [], signing: [] }, clockInfo: null, ima: FRESH_IMA, attestationCount: 0 },
  round: { reply, nonce: 'n', evaluateBootAlways: false },
  failOnViolations: false,
  imaKeys: '',
})
const MAX = 1 << 20
const noise = randomBytes(MAX).toString('latin1')

describe('of the evidence', () => {
  test('what fits is kept whole, and only what is judged', () => {
    const { evidence: bytes, cut } = packEvidence(evidence({ quote: 'q', ima_measurement_list: 'log\n'.repeat(1e6), password: 'p' }), MAX)
    expect(cut).toEqual([])
    expect(bytes!.length).toBeLessThan(5000)
    expect(unpackEvidence(bytes!).reply).toEqual({ quote: 'q', ima_measurement_list: 'log\n'.repeat(1e6) })
  })
  test('the first log of a machine with 100,000 files is kept whole by the default', () => {
    const line = (i: number) =>
      `10 ${createHash('sha1').update(`${i}`).digest('hex')} ima-ng sha256:${createHash('sha256').update(`${i}`).digest('hex')} /usr/lib/${i}.so`
    const ima_measurement_list = Array.from({ length: 100_000 }, (_, i) => line(i)).join('\n')
    const { evidence: bytes, cut } = packEvidence(evidence({ quote: 'q', ima_measurement_list }), verifierOptions.evidence_max_size.default)
    expect(cut).toEqual([])
    expect(unpackEvidence(bytes!).reply).toEqual({ quote: 'q', ima_measurement_list })
  })
  test('a log that is too large is left out and named; the boot log only when it must be', () => {
    const small = packEvidence(evidence({ quote: 'q', ima_measurement_list: noise, mb_measurement_list: 'boot' }), MAX)
    expect(small.cut).toEqual(['ima_measurement_list'])
    expect(small.evidence!.length).toBeLessThan(MAX)
    expect(unpackEvidence(small.evidence!).reply).toEqual({ quote: 'q', mb_measurement_list: 'boot' })
    const smaller = packEvidence(evidence({ quote: 'q', ima_measurement_list: 'x', mb_measurement_list: noise }), MAX)
    expect(smaller.cut).toEqual(['ima_measurement_list', 'mb_measurement_list'])
  })
  test('nothing is kept of an answer that is too large in itself, and an answer that is none is kept as none', () => {
    expect(packEvidence(evidence({ quote: noise }), MAX)).toEqual({ evidence: null, cut: ['evidence'] })
    expect(packEvidence(evidence({ quote: 'q'.repeat(49 << 20) }), MAX)).toEqual({ evidence: null, cut: ['evidence'] })
    expect(unpackEvidence(packEvidence(evidence('text'), MAX).evidence!).reply).toBeNull()
  })
})
