import { takeEvidence } from '../../../../../src/roles/verifier/push/api/take-evidence.ts'
import { type Attestation, sha256 } from '../../../../../src/roles/verifier/push/attestations.ts'

const BODY = Buffer.from('{"data":{"type":"attestation","attributes":{"evidence_collected":[]}}}')

/** A machine that was asked for evidence. @param toNext it is told to come after so many seconds, one more for each slot. */
function machine(toNext: number) {
  let slots = 0
  let monotonic = 1
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
        one.received = { at: 1, monotonic, sha256: sha256(body), toNext }
      },
    },
    crowd: { secondsToNext: () => toNext + slots++ },
    judge: async () => undefined,
    autoRecover: false,
  }
  const clock = { now: () => 5, monotonic: () => monotonic }
  const handle = takeEvidence({ agents: { get: () => agent }, clock, push } as never)
  return {
    /** @param afterMs since the question before. */
    ask(afterMs = 0) {
      monotonic += afterMs
      return handle({ params: { id: 'a', index: '0' }, body: BODY } as never) as { status: number; raw: { body: string } }
    },
    slots: () => slots,
  }
}

const toNextOf = ({ raw }: { raw: { body: string } }): number => JSON.parse(raw.body).meta.seconds_to_next_attestation

test('evidence that comes again gets the answer that it got, and takes no other slot', async () => {
  const { ask, slots } = machine(4)
  const first = ask()
  expect(first).toMatchObject({ status: 202 })
  expect(toNextOf(first)).toBe(4)
  expect([ask(), ask()]).toEqual([first, first])
  expect(slots()).toBe(1)
})

test('a machine that lost the answer keeps its slot: told the same seconds again it would come after it counts as unreachable', async () => {
  const { ask, slots } = machine(12)
  expect([ask(), ask(5999), ask(2), ask(20_000)].map(toNextOf)).toEqual([12, 7, 6, 1])
  expect(slots()).toBe(1)
})
