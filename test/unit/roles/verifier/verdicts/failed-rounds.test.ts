import { createHash, randomBytes } from 'node:crypto'
import { PassThrough } from 'node:stream'
import { verifierOptions } from '../../../../../src/config/verifier.ts'
import { FRESH_IMA } from '../../../../../src/core/ima/ima-policy.ts'
import { createLogger } from '../../../../../src/io/log/logger.ts'
import { keepFailedRound, packEvidence, unpackEvidence } from '../../../../../src/roles/verifier/verdicts/keep-failed-round.ts'
import { logFailures } from '../../../../../src/roles/verifier/verdicts/log-failures.ts'

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
  test('what fits is kept whole, and only what is judged', async () => {
    const { evidence: bytes, cut } = await packEvidence(
      evidence({ quote: 'q', ima_measurement_list: 'log\n'.repeat(1e6), password: 'p' }),
      MAX,
    )
    expect(cut).toEqual([])
    expect(bytes!.length).toBeLessThan(5000)
    expect((await unpackEvidence(bytes!)).reply).toEqual({ quote: 'q', ima_measurement_list: 'log\n'.repeat(1e6) })
  })
  test('the first log of a machine with 100,000 files is kept whole by the default', async () => {
    const line = (i: number) =>
      `10 ${createHash('sha1').update(`${i}`).digest('hex')} ima-ng sha256:${createHash('sha256').update(`${i}`).digest('hex')} /usr/lib/${i}.so`
    const ima_measurement_list = Array.from({ length: 100_000 }, (_, i) => line(i)).join('\n')
    const { evidence: bytes, cut } = await packEvidence(
      evidence({ quote: 'q', ima_measurement_list }),
      verifierOptions.evidence_max_size.default,
    )
    expect(cut).toEqual([])
    expect((await unpackEvidence(bytes!)).reply).toEqual({ quote: 'q', ima_measurement_list })
  })
  test('a log that is too large is left out and named; the boot log only when it must be', async () => {
    const small = await packEvidence(evidence({ quote: 'q', ima_measurement_list: noise, mb_measurement_list: 'boot' }), MAX)
    expect(small.cut).toEqual(['ima_measurement_list'])
    expect(small.evidence!.length).toBeLessThan(MAX)
    expect((await unpackEvidence(small.evidence!)).reply).toEqual({ quote: 'q', mb_measurement_list: 'boot' })
    const smaller = await packEvidence(evidence({ quote: 'q', ima_measurement_list: 'x', mb_measurement_list: noise }), MAX)
    expect(smaller.cut).toEqual(['ima_measurement_list', 'mb_measurement_list'])
  })
  test('nothing is kept of an answer that is too large in itself, and an answer that is none is kept as none', async () => {
    expect(await packEvidence(evidence({ quote: noise }), MAX)).toEqual({ evidence: null, cut: ['evidence'] })
    expect(await packEvidence(evidence({ quote: 'q'.repeat(49 << 20) }), MAX)).toEqual({ evidence: null, cut: ['evidence'] })
    expect((await unpackEvidence((await packEvidence(evidence('text'), MAX)).evidence!)).reply).toBeNull()
  })
})

test('the same failures that are let pass are kept once a minute; others, and those that end polling, always', async () => {
  let monotonic = 1000
  const clock = { now: () => 5, monotonic: () => monotonic }
  const failures = (eventId: string) => [{ eventId, context: { message: 'm' }, recoverable: true, severity: 0, severityLabel: 'info' }]
  const agent = {
    enrolment: { ak: '', tpmPolicy: '{}' },
    state: { failures: failures('a') },
    progress: { lastSuccessfulAttestation: 4 },
    evidenceStored: 0,
  }
  const policy = { tpm: { mask: 0, allowed: new Map() }, refs: { runtime: null, mb: null } }
  const { known, round } = evidence({})
  const keep = (eventId: string, recoverable: boolean) => {
    const judgement = { failures: failures(eventId), worst: failures(eventId)[0]!, recoverable }
    const judged = { known: { ...known, policy }, round }
    return keepFailedRound(
      agent as never,
      { judged, judgement, rules: { bootPolicy: 'example', failOnViolations: false, maxBytes: MAX }, clock } as never,
    )
  }
  expect(await keep('a', true)).toMatchObject({ at: 5, lastGood: 4, judges: { pcrs: [16], hashAlg: '' } })
  expect(await keep('a', true)).toBeNull()
  expect(await keep('a', false)).not.toBeNull()
  expect(await keep('b', true)).not.toBeNull()
  monotonic += 61_000
  expect(await keep('a', true)).not.toBeNull()
})

test('each failure is one bounded line in the log, whatever the path is', () => {
  const stream = new PassThrough({ encoding: 'utf8' })
  const logger = createLogger({ name: 'verifier', stream })
  const context = {
    message: 'not in digests',
    path: `/tmp/x\n2026 ERROR forged\u001b[2J${'y'.repeat(5000)}`,
    line: 4,
    got: 'aa',
    expected: ['1', '2', '3', '4'],
    expected_count: 40,
  }
  logFailures(logger, 'id', [
    { eventId: 'ima.validation.ima-ng.not_in_allowlist', context, recoverable: true, severity: 1, severityLabel: 'error' },
    { eventId: 'ima.pcr_mismatch', context: { message: 'm' }, recoverable: true, severity: 1, severityLabel: 'error' },
  ])
  const lines = String(stream.read()).split(/(?<=\n)/)
  expect(lines.length).toBe(2)
  expect(lines[0]).toMatch(
    /ERROR verifier: agent id failed attestation: ima\.validation\.ima-ng\.not_in_allowlist: not in digests severity=error what=file \/tmp\/x \| 2026 ERROR forged\?\[2Jy+… found=aa expected=1, 2, 3 and 37 more\n$/,
  )
  expect(lines[0]!.length).toBeLessThan(600)
})
