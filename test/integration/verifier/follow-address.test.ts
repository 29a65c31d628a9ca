import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { freePorts, until } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { type RealMachine, WholeBed } from '../../whole-bed.ts'

const ZERO = '0'.repeat(64)
const EAGER = { ofPeer: { perSecond: 20, burst: 1 }, ofAll: { perSecond: 100, burst: 20 } }

/** A machine that is enrolled and attested. */
async function enrolled(bed: WholeBed, name: string): Promise<RealMachine> {
  const machine = await bed.machine(name)
  await bed.tenant('add', { agentId: machine.id, tpmPolicy: JSON.stringify({ 15: [ZERO] }) })
  await bed.inState(machine, 3)
  return machine
}

/** It comes back on another port, and says so to the registrar. @returns where it was. */
async function moves(machine: RealMachine, settings: Record<string, string> = {}): Promise<number> {
  const before = machine.port
  await machine.stop()
  ;[machine.port] = (await freePorts(1)) as [number]
  await machine.start(settings)
  return before
}

const listed = async (bed: WholeBed, { id }: RealMachine) => {
  const result = await bed.tenant('list')
  return JSON.stringify((result as { machines?: { agentId: string }[] }).machines?.find(({ agentId }) => agentId === id))
}

describe('follow_address', () => {
  const audit = '/audit.log'
  const bed = new WholeBed(20, { KEYLIME_VERIFIER_FOLLOW_ADDRESS: 'true' })
  beforeAll(() => {
    bed.home.env['KEYLIME_VERIFIER_AUDIT_LOG'] = bed.home.dir + audit
    return bed.start({ askAddresses: EAGER })
  })
  afterAll(() => bed.stop())

  test('a machine is asked where it has registered, once a good quote came from there, over a restart of the verifier too', async () => {
    const machine = await enrolled(bed, 'mover')
    const before = await moves(machine)
    await until('the new address', async () => (await bed.status(machine)).port === machine.port)
    await bed.isAttestedOn(machine)
    await bed.inState(machine, 3)
    expect(before).not.toBe(machine.port)
    const { entries } = await bed.ask(`history?agent=${machine.id}`)
    const followed = { type: 'agent_address_followed', agent_id: machine.id, from: `127.0.0.1:${before}`, to: `127.0.0.1:${machine.port}` }
    expect(entries.map(({ event }: { event: object }) => event)).toContainEqual(followed)
    expect(fs.readFileSync(bed.home.dir + audit, 'utf8')).toContain('agent_address_followed')
    expect(bed.lines('warn')).toContainEqual(expect.stringMatching(/machine-mover is asked at .* from now on/))
    await bed.verifier.stop()
    await bed.startVerifier()
    expect((await bed.status(machine)).port).toBe(machine.port)
    await bed.isAttestedOn(machine)
  })

  test('who registers the address of another machine leads nobody there', async () => {
    const liar = await enrolled(bed, 'liar')
    const victim = await enrolled(bed, 'victim')
    const before = await moves(liar, { KEYLIME_AGENT_CONTACT_PORT: String(victim.port) })
    const refused = /machine-liar is registered at .*:\d+, and is not followed there: .* shows another certificate/
    await until('that it is refused', () => bed.log.some(({ text }) => refused.test(text)))
    expect((await bed.status(liar)).port).toBe(before)
    await bed.inState(liar, 7)
    await bed.isAttestedOn(victim)
  })

  walk('a machine whose quote is not good at its new address is not followed', async () => {
    const machine = await enrolled(bed, 'changed')
    await machine.stop()
    await machine.tpm.extendPcr(15, createHash('sha256').update('x').digest())
    const before = await moves(machine)
    await until('that it is refused', () =>
      bed.log.some(({ text }) => /machine-changed is registered at .* not followed there: its quote is not good/.test(text)),
    )
    expect((await bed.status(machine)).port).toBe(before)
    await bed.inState(machine, 7)
  })

  walk('while the registrar is away nothing changes', async () => {
    const machine = await enrolled(bed, 'alone')
    await bed.registrar.stop()
    await machine.stop()
    await until('that it is told', () => bed.log.some(({ text }) => /machine-alone cannot be looked for at the registrar: /.test(text)))
    await bed.inState(machine, 7)
  })
})

walk('without follow_address a machine stays where it was enrolled; the list shows both addresses', async () => {
  const bed = new WholeBed()
  await bed.start({ askAddresses: EAGER })
  const machine = await enrolled(bed, 'mover')
  const before = await moves(machine)
  await bed.inState(machine, 7)
  expect((await bed.status(machine)).port).toBe(before)
  const text = await listed(bed, machine)
  expect([text.includes(`127.0.0.1:${before}`), text.includes(`127.0.0.1:${machine.port}`)]).toEqual([true, true])
  await bed.stop()
})
