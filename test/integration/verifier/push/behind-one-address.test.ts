import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import type { BareServer } from '../../../fleet/bare-connection.ts'
import { FleetMachine } from '../../../fleet/fleet-machine.ts'
import { PushBed } from '../../../push-bed.ts'
import { pushEnrolment } from '../../../simulated-push-agent.ts'
import { walk } from '../../../thorough.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.1' })
let server: BareServer
const connect = () => {
  server = { port: bed.verifier.port, context: tls.createSecureContext({ ca: bed.ca }) }
}
beforeAll(async () => {
  await bed.start()
  connect()
})
afterAll(() => bed.stop())

/** Enrolled, and not connected. */
async function fleet(prefix: string, count: number): Promise<FleetMachine[]> {
  const machines = Array.from({ length: count }, (_, i) => new FleetMachine(`${prefix}-${i}`, () => server))
  const waiting = machines.values()
  const enrol = async () => {
    for (const { id, publicKey } of waiting) {
      const body = pushEnrolment({ ak: { public: Buffer.from(publicKey, 'base64') } })
      expect((await bed.admin.request('POST', `/v2.6/agents/${id}`, { body, timeoutSeconds: 60 })).status).toBe(200)
    }
  }
  await Promise.all(Array.from({ length: 8 }, enrol))
  return machines
}

/** What the evidence before led to may not be stored yet, as on a server: then a machine comes again, as an agent does. */
async function attest(machine: FleetMachine): Promise<void> {
  for (let tries = 0; ; tries++) {
    const error = await machine.attest().then(
      () => null,
      (found) => found,
    )
    if (error === null) return
    if (!/verification_in_progress/.test(String(error)) || tries === 600) throw error
    await sleep(100)
  }
}

/** All in the same moment. @returns what went wrong. */
async function attestAll(machines: readonly FleetMachine[]): Promise<string[]> {
  const outcomes = await Promise.allSettled(machines.map(attest))
  return outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [String(outcome.reason)] : []))
}

/** For a machine under load. */
const PATIENCE_MS = 300_000

test('machines behind one address connect in one moment, and again when their connections were cut: none is refused', async () => {
  const machines = await fleet('few', 100)
  expect(await attestAll(machines)).toEqual([])
  for (const machine of machines) machine.cut()
  await sleep(100) // the interval
  expect(await attestAll(machines)).toEqual([])
  for (const machine of machines) machine.cut()
})

walk(
  'so do thousands, more than may connect at once; and to a verifier that was started anew, and knows none of their tokens',
  async () => {
    const machines = await fleet('many', 2000)
    expect(await attestAll(machines)).toEqual([])
    for (const machine of machines) machine.cut()
    expect(await attestAll(machines)).toEqual([])
    for (const machine of machines) machine.cut()
    await bed.restart()
    connect()
    const outcomes = await attestAll(machines)
    expect(outcomes).toEqual(machines.map(() => expect.stringMatching(/negotiation: 401/))) // the token of before
    expect(await attestAll(machines)).toEqual([])
    for (const machine of machines) machine.cut()
  },
  PATIENCE_MS,
)
