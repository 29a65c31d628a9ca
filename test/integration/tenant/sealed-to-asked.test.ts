import fs from 'node:fs'
import path from 'node:path'
import { until } from '../../servers.ts'
import { type RealMachine, WholeBed } from '../../whole-bed.ts'

/** Agents mount their tmpfs, which only root can. */
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('a payload that is sealed for a machine which the verifier asks', () => {
  const bed = new WholeBed()
  let machine: RealMachine
  const payload = () => path.join(machine.dir, 'secure', 'decrypted_payload')
  const file = (name: string) => {
    fs.writeFileSync(bed.path(name), name)
    return bed.path(name)
  }

  beforeAll(async () => {
    await bed.start()
    machine = await bed.machine('asked')
  }, 60_000)
  afterAll(() => bed.stop())

  test('is waited for while the machine is off, and delivered when it is up', async () => {
    await machine.stop()
    const adding = bed.tenant('add', { agentId: machine.id, sealed: true, file: file('the first'), waitScript: true, timeoutSeconds: 40 })
    await until('the enrolment', async () => (await bed.ask(`agents/${machine.id}`))?.delivery, 20)
    await machine.start()
    expect(await adding).toMatchObject({ summary: expect.stringMatching(/its payload is delivered/) })
    expect(fs.readFileSync(payload(), 'utf8')).toBe('the first')
    expect((await bed.status(machine)).comes_by).toBe('pull')
  }, 60_000)

  test('takes the place of the one before', async () => {
    await bed.tenant('update', { agentId: machine.id, sealed: true, file: file('the second'), waitScript: true })
    await until('the second', () => fs.readFileSync(payload(), 'utf8') === 'the second')
  }, 60_000)

  test('one that is handed to the machine itself ends what lies there', async () => {
    await bed.tenant('update', { agentId: machine.id, sealed: true, file: file('the third'), wait: false })
    await bed.tenant('update', { agentId: machine.id, file: file('the fourth'), waitScript: true })
    await until('the fourth', () => fs.readFileSync(payload(), 'utf8') === 'the fourth')
    expect((await bed.status(machine)).delivery).toBeNull()
  }, 60_000)

  test('an agent that demands an order gets one with what is handed to it', async () => {
    await machine.stop()
    await machine.start({ KEYLIME_AGENT_REQUIRE_SIGNED_PAYLOAD: 'True' })
    await bed.tenant('update', { agentId: machine.id, file: file('the fifth'), waitScript: true })
    await until('the fifth', () => fs.readFileSync(payload(), 'utf8') === 'the fifth')
  }, 60_000)

  test('a machine that is never to take an order again says so, and nothing changes on it', async () => {
    const accepted = fs.readdirSync(machine.dir).find((name) => /order|delivery/.test(name))!
    const before = JSON.parse(fs.readFileSync(path.join(machine.dir, accepted), 'utf8'))
    fs.writeFileSync(path.join(machine.dir, accepted), JSON.stringify({ ...before, generation: before.generation * 2 }))
    await expect(bed.tenant('update', { agentId: machine.id, file: file('the sixth'), waitScript: true })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/the delivery order is refused/),
    })
    expect(fs.readFileSync(payload(), 'utf8')).toBe('the fifth')
  }, 60_000)
})
