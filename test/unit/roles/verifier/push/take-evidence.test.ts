import { takeEvidence } from '../../../../../src/roles/verifier/push/api/take-evidence.ts'
import { type Attestation, sha256 } from '../../../../../src/roles/verifier/push/attestations.ts'

const BODY = Buffer.from('{"data":{"type":"attestation","attributes":{"evidence_collected":[]}}}')

test('evidence that comes again gets the answer that it got, and takes no other slot', async () => {
  let slots = 0
  const attestation = {
    index: 0,
    chosen: { offer: { bootTime: null } },
    openedAt: 0,
    expiresAt: 10,
    stage: 'awaiting_evidence',
    received: null,
  }
  const agent = { enrolment: { agentId: 'a' }, connection: null, state: { operational: 3, polled: true }, busy: false }
  const push = {
    attestations: {
      latest: () => attestation,
      receive(one: Attestation, body: Buffer, toNext: number) {
        one.received = { at: 1, monotonic: 1, sha256: sha256(body), toNext }
      },
    },
    crowd: { secondsToNext: () => 4 + slots++ },
    judge: async () => undefined,
    autoRecover: false,
  }
  const handle = takeEvidence({ agents: { get: () => agent }, clock: { now: () => 5 }, push } as never)
  const ask = () => handle({ params: { id: 'a', index: '0' }, body: BODY } as never) as { status: number; text: string }
  const first = ask()
  expect(first).toMatchObject({ status: 202 })
  expect(JSON.stringify(first)).toContain('seconds_to_next_attestation\\":4')
  expect([ask(), ask()]).toEqual([first, first])
  expect(slots).toBe(1)
})
