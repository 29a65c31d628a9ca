import { failedRound, keepRules } from '../../../../../src/roles/verifier/verdicts/keep-failed-round.ts'

const failures = (eventId: string) => [{ eventId, context: { message: 'm' }, recoverable: true, severity: 0, severityLabel: 'info' }]
const kept = { evidence: Buffer.from('e'), cut: [] }

test('the same failures are kept once a minute, and what is kept is the story with the policies that judged', () => {
  let monotonic = 1000
  const clock = { now: () => 5, monotonic: () => monotonic }
  const agent = {
    enrolment: { ak: '', tpmPolicy: '{}' },
    state: { failures: failures('a') },
    progress: { lastSuccessfulAttestation: 4 },
    evidenceStored: 0,
  }
  const policy = { tpm: { mask: 0, allowed: new Map() }, ima: null, refs: { runtime: { name: 'r', sha256: 'x' }, mb: null } }
  const story = (judged: object) =>
    failedRound(
      agent as never,
      { judged: { hashAlg: 'sha256', ...judged }, policy, attestationCount: 7 } as never,
      { failures: failures('a') } as never,
      {
        bootPolicy: 'example',
        clock,
      },
    )
  expect(keepRules(agent as never, 10, clock)).toEqual({ maxBytes: 10, unless: null })
  expect(story({ kept })).toEqual({
    at: 5,
    failures: failures('a'),
    judges: {
      tpmPolicy: '{}',
      pcrs: [16],
      hashAlg: 'sha256',
      runtimePolicy: { name: 'r', sha256: 'x' },
      mbPolicy: null,
      bootPolicy: 'example',
    },
    attestationCount: 7,
    lastGood: 4,
    ...kept,
  })
  expect(keepRules(agent as never, 10, clock)).toEqual({ maxBytes: 10, unless: ['a'] })
  expect(story({ kept: null })).toBeNull()
  monotonic += 61_000
  expect(keepRules(agent as never, 10, clock)).toEqual({ maxBytes: 10, unless: null })
})
