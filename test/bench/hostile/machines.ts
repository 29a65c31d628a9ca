import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../ima.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'
import { signedLog } from './signed-log.ts'

/** What an enrolled machine answers when it is asked for evidence, and how it is enrolled. */
type MachineAttack = (agent: SimulatedAgent) => Record<string, unknown>

const MIB = 1 << 20
const SIZE = 99 * MIB

/** @returns changes of the enrolment. */
export const MACHINE_ATTACKS: Record<string, MachineAttack> = {
  'answer-objects': (agent) => answers(agent, `[${'{},'.repeat(SIZE / 3)}{}]`),
  'answer-63mb-objects': (agent) => answers(agent, `[${'{},'.repeat((63 * MIB) / 3)}{}]`),
  'answer-nested': (agent) => answers(agent, `${'['.repeat(SIZE / 2)}${']'.repeat(SIZE / 2)}`),
  'answer-unclosed': (agent) => answers(agent, '{"a":'.repeat(SIZE / 5)),
  'answer-long-lines'(agent) {
    const lines = [
      BOOT_AGGREGATE,
      ...Array.from({ length: 90 }, (_, i) => imaLine(`ima-ng sha256:${'aa'.repeat(32)} /${i}${'x'.repeat(MIB / 2)}`)),
    ]
    return measures(agent, lines, runtimePolicy())
  },
  'answer-20000-signed'(agent) {
    const { lines, policy } = signedLog('P-256', 20_000, true)
    return measures(agent, lines, policy)
  },
}

function answers(agent: SimulatedAgent, body: string): Record<string, unknown> {
  agent.answer.set('/quotes/integrity', () => ({ status: 200, body }))
  return {}
}

function measures(agent: SimulatedAgent, lines: string[], policy: string): Record<string, unknown> {
  agent.pcrs.set(10, pcr10After(lines))
  agent.extra = { ima_measurement_list: `${lines.join('\n')}\n`, ima_measurement_list_entry: 0 }
  return { runtime_policy: Buffer.from(policy).toString('base64') }
}

/** Starts the machine. @returns what the operator posts to enrol it. */
export async function hostileMachine(attack: MachineAttack, ca: string): Promise<Record<string, unknown>> {
  const agent = await simulatedAgent(ca)
  const changes = attack(agent)
  return enrolmentBody(agent, changes)
}
