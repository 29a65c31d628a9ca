import type { EvidenceVerdict } from '../../../../../src/core/attestation/verify-evidence.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import type { BookedPolicy } from '../../../../../src/roles/verifier/policies/policy-book.ts'
import type { Attestation } from '../../../../../src/roles/verifier/push/attestations.ts'
import { createJudgeBrought, type JudgeBroughtOptions } from '../../../../../src/roles/verifier/push/judge-brought.ts'
import type { AttestationRound } from '../../../../../src/roles/verifier/rounds/attestation-round.ts'
import { simulatedTime } from '../../../../simulated-time.ts'

const PASSED = { outcome: 'passed', transportKey: 'a key' } as EvidenceVerdict
const POLICY = { imaJudgedBy: '' } as BookedPolicy
const EVIDENCE = { body: Buffer.from('{}'), given: undefined }

let did: string[]
let errors: string[]
let judged: () => unknown
let took: AttestationRound | null
let agent: ManagedAgent
let attestation: Attestation
beforeEach(() => {
  ;[did, errors, took] = [[], [], null]
  judged = () => ({ kind: 'judged', verdict: PASSED })
  agent = {
    enrolment: { agentId: 'a' },
    policy: POLICY,
    state: { failures: [] },
    progress: { attestationCount: 1, ima: { nextEntry: 0 }, imaJudgedBy: '' },
    evidenceStored: 0,
  } as never
  attestation = {
    challenge: Buffer.alloc(16).toString('base64'),
    chosen: { asked: { imaOffset: null } },
    policy: POLICY,
    evaluation: 'pending',
  } as never
})

const judgeBrought = (take?: JudgeBroughtOptions['loop']['take']) =>
  createJudgeBrought({
    judging: { judgeRound: () => judged() as never },
    loop: {
      take:
        take ??
        ((of, round) => {
          took = round
          const result = round(of)
          return result instanceof Promise ? result.then(() => true) : true
        }),
    },
    attestations: { note: (_: unknown, trouble: unknown) => did.push(`noted ${trouble}`), settle: () => did.push('settled') } as never,
    sessions: { extend: (agentId) => did.push(`extended ${agentId}`) },
    extends: true,
    evaluateBootAlways: false,
    maxEvidenceBytes: 1,
    clock: simulatedTime().clock,
    logger: { ...silentLogger, error: (text: string) => errors.push(text) },
  })

test('what is judged at once is settled at once', () => {
  expect(judgeBrought()(agent, attestation, EVIDENCE)).toBeUndefined()
  expect([did, attestation.evaluation, attestation.transportKey]).toEqual([['noted null', 'extended a', 'settled'], 'pass', 'a key'])
})

test('what is judged later is settled then', async () => {
  judged = async () => ({ kind: 'later', reason: 'no room' })
  const end = judgeBrought()(agent, attestation, EVIDENCE)
  expect(did).toEqual([])
  await end
  expect([did, attestation.evaluation]).toEqual([['noted no room', 'settled'], 'pending'])
})

test('what was asked by another policy is not judged', () => {
  attestation = { ...attestation, policy: { ...POLICY } }
  judgeBrought()(agent, attestation, EVIDENCE)
  expect(did).toEqual(['noted what it must prove was changed since it was asked', 'settled'])
})

test('nothing is said of a machine that is judged already, and its attestation ends', () => {
  judgeBrought(() => false)(agent, attestation, EVIDENCE)
  expect([did, took]).toEqual([['settled'], null])
})

test.each([
  [
    'at once',
    () => {
      throw new Error('a bug')
    },
  ],
  ['later', () => Promise.reject(new Error('a bug'))],
])('an error of the loop, %s, is told, and the attestation ends', async (_, take) => {
  await judgeBrought(take)(agent, attestation, EVIDENCE)
  expect([did, errors]).toEqual([['settled'], ['agent a: what it brought was not judged: a bug']])
})
