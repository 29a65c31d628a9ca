import fs from 'node:fs'
import path from 'node:path'
import { until } from '../../servers.ts'
import { type RealMachine, WholeBed } from '../../whole-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // agents mount their tmpfs

describeAsRoot('machines that nobody can call, while one authority takes the place of another', () => {
  const bed = new WholeBed(100, { KEYLIME_VERIFIER_PUSH_WAIT_TIME: '1', KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.5' })
  let [near, off, alone]: RealMachine[] = []

  /** The agent brings its evidence from now on. */
  const bring = (machine: RealMachine, settings: Record<string, string> = {}) =>
    machine.start({
      KEYLIME_AGENT_IP: '',
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${bed.verifier.port}`,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(machine.dir, 'cacert.crt'),
      KEYLIME_AGENT_ATTESTATION_INTERVAL_SECONDS: '0.5',
      ...settings,
    })
  const followedBy = ({ dir }: RealMachine) => {
    const file = path.join(dir, 'followed-authorities.json')
    const { added, dropped } = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : { added: [], dropped: [] }
    return [added.length, dropped.length]
  }
  const finish = (options = {}) =>
    bed.rotate({ finish: true, ...options }).then(
      ({ lines }) => lines.join('\n'),
      (error: Error) => `refused: ${error.message}`,
    )
  const payload = ({ dir }: RealMachine) => path.join(dir, 'secure/decrypted_payload')
  async function deliver(machine: RealMachine, text: string): Promise<void> {
    fs.writeFileSync(bed.path('payload'), text)
    await bed.tenant('update', { agentId: machine.id, file: bed.path('payload'), pushModel: true, timeoutSeconds: 40 })
    expect(fs.readFileSync(payload(machine), 'utf8')).toBe(text)
  }

  beforeAll(async () => {
    await bed.start()
    for (const name of ['near', 'off', 'alone']) {
      const machine = await bed.machine(name)
      await machine.stop()
      await bring(machine, name === 'alone' ? { KEYLIME_AGENT_FOLLOW_AUTHORITY: 'false' } : {})
      await bed.tenant('add', { agentId: machine.id, pushModel: true })
    }
    ;[near, off, alone] = bed.machines
    await off!.stop()
  }, 90_000)
  afterAll(() => bed.stop())

  test('one that comes is told, takes the next authority, and is attested on; the others are named with the reason', async () => {
    await bed.rotate()
    await until('that it follows', () => followedBy(near!)[0] === 1, 40)
    await bed.isAttestedOn(near!)
    await until('that the verifier knows it', async () => {
      const { behind } = await bed.ask('authorities')
      return behind.length === 2 && /copy cacert.crt/.test(JSON.stringify(behind))
    })
    expect((await bed.ask('authorities')).behind).toEqual([
      { agent_id: alone!.id, reason: expect.stringMatching(/it follows no authority/) },
      { agent_id: off!.id, reason: expect.stringMatching(/it is told when it comes/) },
    ])
    expect(await finish()).toMatch(/refused: 2 machines do not know the next authority/)
    await deliver(near!, 'between the two')
  }, 90_000)

  test('after the end it drops the one before, where the verifier is there without it, and takes what an operator of the next one orders', async () => {
    expect(await finish({ 'leave-behind': true })).toMatch(/no longer counts/)
    await until('that it drops the one before', () => followedBy(near!)[1] === 1, 40)
    await bed.isAttestedOn(near!)
    await deliver(near!, 'after the end')
  }, 90_000)

  test('one that was off finds the verifier by the bridge, hears of both steps, and follows', async () => {
    await bring(off!)
    await until('that it follows', () => followedBy(off!)[1] === 1, 40)
    await bed.isAttestedOn(off!)
    await deliver(off!, 'late')
    expect((await bed.ask('authorities')).behind).toEqual([{ agent_id: alone!.id, reason: expect.any(String) }])
  }, 90_000)

  test('one that follows nobody is not made to', () => {
    expect(followedBy(alone!)).toEqual([0, 0])
    expect(fs.existsSync(path.join(alone!.dir, 'followed-authorities.json'))).toBe(false)
  })
})
