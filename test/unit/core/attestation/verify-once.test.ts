import { verifyOnce } from '../../../../src/core/attestation/verify-once.ts'
import { readEvidenceV2 } from '../../../../src/core/evidence/read-evidence-v2.ts'
import { machineLog, machineState, type State } from '../../../boot-log.ts'
import { JudgedMachine } from '../../../judged-machine.ts'

const MACHINE = 'no-secure-boot'

/** The failures of evidence of a recorded boot, judged by its reference state with a change. */
function judged(change: (state: State) => void, nonce?: string): string[] {
  const state = machineState(MACHINE)
  change(state)
  const machine = new JudgedMachine({ boot: JSON.stringify(state) })
  const { answer, request } = machine.round({ bootLog: machineLog(MACHINE) })
  const read = readEvidenceV2(JSON.parse(answer.toString()).results)
  if ('failure' in read) throw new Error('the answer is no evidence')
  const question = { ak: machine.known().ak, nonce: nonce ?? request.nonce, policy: machine.policy }
  return verifyOnce(read.evidence, question).map(({ eventId }) => eventId)
}

test('evidence of somebody else is judged by the whole policy, its reference state too', () => {
  expect(judged(() => {})).toEqual([])
  expect(judged((state) => Object.assign(state.kernels[0], { vmlinuz_plain_sha256: `0x${'a'.repeat(64)}` }))).toEqual([
    expect.stringMatching(/^measured_boot\./),
  ])
  expect(judged(() => {}, 'another')).toEqual(['qoute_validation.quote_validation'])
})
