import type { RawAnswer } from '../../../../../src/core/api/envelope.ts'
import { KeylimeError } from '../../../../../src/core/errors.ts'
import { FRESH_IMA } from '../../../../../src/core/ima/ima-policy.ts'
import { systemClock } from '../../../../../src/io/clock.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createAttestationRound } from '../../../../../src/roles/verifier/rounds/attestation-round.ts'
import { OwnTrouble } from '../../../../../src/roles/verifier/rounds/own-trouble.ts'

const BUG = new RangeError('a bug')
const answers = (status: number, results: object = {}) => ({
  status,
  body: Buffer.from(JSON.stringify({ code: status, status: 'x', results })),
})

/** A round of a machine. @param request what comes of a request. @param judge what comes of judging its answer. */
function round(request: () => Promise<unknown>, judge: () => unknown = () => ({ kind: 'later', reason: 'busy' })) {
  const ask = createAttestationRound({
    judging: { judgeRound: judge } as never,
    clock: systemClock,
    evaluateBootAlways: false,
    maxEvidenceBytes: 0,
    maxQuoteBytes: 1000,
  })
  const agent = {
    connection: { request: request as () => Promise<RawAnswer> },
    enrolment: { agentId: 'a', tpmPolicy: '{}', accepted: {} },
    policy: { imaJudgedBy: 'x', tpm: { allowed: new Map(), mask: 0 }, ima: null, boot: null, refs: {} },
    progress: { attestationCount: 1, ima: FRESH_IMA, imaJudgedBy: 'x', clockInfo: null },
    state: { transportKey: null, supportedVersion: '2.6', failures: [] },
  } as unknown as ManagedAgent
  return Promise.resolve().then(() => ask(agent))
}
const fails = async () => Promise.reject(BUG)

test('what goes wrong before a machine has answered is trouble of ours', async () => {
  await expect(round(fails)).rejects.toBeInstanceOf(OwnTrouble)
  await expect(round(fails)).rejects.toMatchObject({ cause: BUG })
})

test('so is what cannot be asked because of what is stored of it', async () => {
  const request = () => {
    throw BUG
  }
  await expect(round(request as never)).rejects.toBeInstanceOf(OwnTrouble)
})

test('what goes wrong while its answer is judged is not', async () => {
  await expect(round(async () => answers(200), fails)).rejects.toBe(BUG)
})

test('a machine that cannot be reached is just that', async () => {
  const silent = async () => Promise.reject(new KeylimeError('unreachable', 'ECONNREFUSED'))
  expect(await round(silent)).toMatchObject({ event: { type: 'unreachable', attestedBefore: true, reason: 'ECONNREFUSED' } })
  expect(await round(async () => answers(404))).toMatchObject({ event: { type: 'refused' } })
})
