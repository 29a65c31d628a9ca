import { parsePublicArea } from '../../../../../src/core/tpm/public-area.ts'
import { proveSession } from '../../../../../src/roles/verifier/push/api/prove-session.ts'
import { createSessions } from '../../../../../src/roles/verifier/push/sessions.ts'
import { type SimulatedPushAgent, simulatedPushAgent } from '../../../../simulated-push-agent.ts'

const clock = { now: () => 1_800_000_000_000, monotonic: () => 0 }
const machine = () =>
  simulatedPushAgent('a', () => {
    throw new Error('nothing is sent')
  })

/** As it is enrolled. */
function enrolled({ ak: key }: SimulatedPushAgent) {
  const ak = parsePublicArea(key.public)
  return { ak, akName: ak.name.toString('hex'), connection: null, enrolment: { agentId: 'a' } }
}

/** Another verifier attests the machine. @param prover proves its key, which is the enrolled one. @param arrives is enrolled under the id when this verifier has taken the machine over. */
async function proofOfStranger(prover: SimulatedPushAgent, arrives: SimulatedPushAgent) {
  let here: ReturnType<typeof enrolled> | undefined
  const agents = { get: () => here }
  const sessions = createSessions({ clock, nonceLifetime: 60, sessionLifetime: 180, keyOf: () => here?.akName })
  const handle = proveSession({
    agents,
    clock,
    leasing: { strangerAk: async () => enrolled(prover).ak },
    commands: {
      take: async (_id: string, work: () => Promise<unknown>) => {
        here = enrolled(arrives) // an operator's command was first in the line
        return work()
      },
    },
    logger: { info: () => undefined, debug: () => undefined },
    push: { sessions, longestWait: 60 },
  } as never)
  const { id, challenge } = sessions.open('a')
  const reply = await handle({ params: { session: id }, body: prover.proof(challenge), remoteAddress: '192.0.2.1' } as never)
  const { attributes } = JSON.parse(String((reply as { raw: { body: string } }).raw.body)).data
  return { attributes, owner: attributes.token ? sessions.agentOf(attributes.token) : null }
}

test('a machine that another verifier attests gets a token when it has proved its key', async () => {
  const mine = machine()
  expect(await proofOfStranger(mine, mine)).toMatchObject({ attributes: { evaluation: 'pass' }, owner: 'a' })
})

test('and none when another key is enrolled under its id by the time that it is taken over: a token speaks for the key that was proved', async () => {
  const { attributes, owner } = await proofOfStranger(machine(), machine())
  expect([attributes.evaluation, attributes.token, owner]).toEqual(['fail', undefined, null])
})
