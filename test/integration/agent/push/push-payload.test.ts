import fs from 'node:fs'
import path from 'node:path'
import { challengeHmac } from '../../../../src/core/payload/auth-tag.ts'
import { makePackage } from '../../../../src/core/payload/certificate-package.ts'
import { until } from '../../../servers.ts'
import { walk } from '../../../thorough.ts'
import { DeliveryBed } from './delivery-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

const text = (content: string) => Buffer.from(content)
const zipOf = (files: Record<string, string>) =>
  makePackage(
    Object.entries(files).map(([name, content]) => ({ name, data: text(content) })),
    Date.now(),
  )

describeAsRoot('a payload for a machine that nobody can call', () => {
  const bed = new DeliveryBed()
  const secure = (name: string) => path.join(bed.servers.secure, name)
  const read = (name: string) => fs.readFileSync(secure(name), 'utf8')
  beforeAll(async () => {
    await bed.start()
    await bed.startAgent() // registers
    await bed.stopAgent()
  })
  afterAll(() => bed.stop())
  beforeEach(() => bed.reset())
  afterEach(async () => {
    await bed.stopAgent()
    expect(bed.verifier.defects).toEqual([])
    for (const name of fs.existsSync(bed.servers.secure) ? fs.readdirSync(bed.servers.secure) : [])
      fs.rmSync(secure(name), { recursive: true })
  })

  test('is fetched, believed, opened with V of a good verdict, unpacked, run once, and proved', async () => {
    const { order, k } = await bed.order(await zipOf({ 'autorun.sh': 'echo begun >> ../runs\n', file: 'inner' }))
    await bed.startAgent()
    const report = await bed.reported('unpacked', 'done')
    expect(report).toMatchObject({ files: 2, script_exit: 0, error: null, proof: challengeHmac(k, order.challenge) })
    expect([read('unzipped/file'), read('runs')]).toEqual(['inner', 'begun\n'])
    expect([bed.mailboxes, bed.releases]).toEqual([1, 1])
    expect(bed.items.map(({ transport_key: key }) => key !== null).filter(Boolean)).toHaveLength(1) // shown only while V is wanted
    expect(bed.reports[0]).toMatchObject({ state: 'waiting', proof: null })
    const accepted = path.join(bed.servers.agentDir, 'accepted-delivery.json')
    expect(JSON.parse(fs.readFileSync(accepted, 'utf8'))).toMatchObject({ generation: order.generation, enrolment: order.enrolment })
    expect((fs.statSync(accepted).mode & 0o777).toString(8)).toBe('600')
  })

  test('arrives soon, however long the pause between two attestations', async () => {
    bed.verifier.seconds = 3600
    await bed.order(text('the secret'))
    await bed.startAgent()
    await bed.reported('unpacked')
    expect(read('decrypted_payload')).toBe('the secret')
  })

  test('may be a key alone', async () => {
    const { k, order } = await bed.order(null)
    await bed.startAgent()
    expect(await bed.reported('key_only')).toMatchObject({ proof: challengeHmac(k, order.challenge) })
    expect(read('derived_tci_key')).toBe(k.toString('base64'))
  })

  walk('follows another one; and a verifier that is none of ours hears of nothing', async () => {
    await bed.order(text('first'))
    await bed.startAgent()
    await bed.reported('unpacked')
    await bed.order(text('second'))
    await bed.reported('unpacked')
    expect(read('decrypted_payload')).toBe('second')
    bed.verifier.extensions = undefined
    bed.verifier.endSession()
    await until('another session', () => bed.verifier.count('prove') > 1)
    const before = bed.items.length
    const count = bed.verifier.accepted.length
    await until('more evidence', () => bed.verifier.accepted.length > count + 1)
    expect(bed.items.length - before).toBeLessThanOrEqual(1)
    bed.verifier.extensions = { delivery: 1 }
  })

  walk('of an agent that ended before it had V: V comes again from the verifier, and only then', async () => {
    await bed.order(text('the secret'))
    bed.lieOfRelease = () => 'hang'
    await bed.startAgent()
    await until('the question for V', () => bed.releases === 1)
    await bed.stopAgent()
    expect(fs.readdirSync(bed.servers.secure)).toEqual([])
    bed.lieOfRelease = () => undefined
    await bed.startAgent()
    await bed.reported('unpacked')
    expect([bed.mailboxes, bed.releases]).toEqual([2, 2])
    expect(read('decrypted_payload')).toBe('the secret')
  })

  walk('of an agent that was killed while the script ran, or after: it is proved again, and run never again', async () => {
    const { k, order } = await bed.order(await zipOf({ 'autorun.sh': 'echo begun >> ../runs; exit 3\n', file: '' }))
    await bed.startAgent()
    const first = await bed.reported('unpacked', 'failed')
    expect(first).toMatchObject({ files: 2, script_exit: 3, script_error: 'it ended with exit code 3' })
    await bed.stopAgent()
    bed.verifier.accepted.length = 0
    await bed.startAgent()
    expect(await bed.reported('unpacked', 'failed')).toEqual(first)
    await bed.stopAgent()
    const record = JSON.parse(read('.delivery.json'))
    fs.writeFileSync(secure('.delivery.json'), JSON.stringify({ ...record, script: 'started', exit: undefined, error: undefined }))
    bed.verifier.accepted.length = 0
    await bed.startAgent()
    const last = await bed.reported('unpacked', 'failed')
    expect(last).toMatchObject({ script_error: 'the agent ended while it ran', proof: challengeHmac(k, order.challenge) })
    expect(read('runs')).toBe('begun\n')
  })

  walk('of which the mailbox is empty already: an agent that started again says how its script went', async () => {
    await bed.order(await zipOf({ 'autorun.sh': 'echo begun >> ../runs\n' }))
    await bed.startAgent()
    await bed.reported('unpacked', 'done')
    await bed.stopAgent()
    bed.verifier.accepted.length = 0
    bed.mailbox = null
    await bed.startAgent()
    expect(await bed.reported('unpacked', 'done')).toMatchObject({ files: 1, script_exit: 0, proof: null })
    expect(read('runs')).toBe('begun\n')
    bed.verifier.accepted.length = 0
    bed.asked = { enrolment: 'ab'.repeat(16), generation: 1 } // of which nobody here knows
    await bed.reported('waiting')
  })

  walk('that is larger than the machine takes is refused with that reason, and not fetched with each attestation', async () => {
    await bed.order(text('the secret'))
    const whole = bed.delivery!.mailbox
    bed.mailbox = { ...whole, payload: 'A'.repeat(3 << 20) }
    await bed.startAgent({ KEYLIME_AGENT_SECURE_SIZE: '1m' })
    expect(await bed.reported('refused')).toMatchObject({ error: expect.stringContaining('larger than this machine accepts') })
    const count = bed.verifier.accepted.length
    await until('more evidence', () => bed.verifier.accepted.length > count + 2)
    expect(bed.mailboxes).toBe(1)
  })

  walk('of which the mailbox is empty, and that a reboot has taken from memory, is told as lost, once', async () => {
    await bed.order(await zipOf({ 'autorun.sh': 'sleep 60\n' }))
    await bed.startAgent()
    await bed.reported('unpacked', 'running')
    await bed.stopAgent()
    for (const name of fs.readdirSync(bed.servers.secure)) fs.rmSync(secure(name), { recursive: true })
    bed.verifier.accepted.length = 0
    bed.mailbox = null
    await bed.startAgent()
    expect(await bed.reported('failed')).toMatchObject({ error: expect.stringContaining('has restarted since'), proof: null })
    const { mailboxes } = bed
    const count = bed.verifier.accepted.length
    await until('more evidence', () => bed.verifier.accepted.length > count + 2)
    expect(bed.mailboxes).toBe(mailboxes)
  })

  walk(
    'says of itself what became of it, and nothing of one before that is still worked on',
    async () => {
      const script = await zipOf({ 'autorun.sh': 'sleep 60\n' })
      await bed.order(script)
      await bed.startAgent({ KEYLIME_AGENT_PAYLOAD_SCRIPT_HANDOVER: '4' })
      await bed.reported('unpacked', 'running')
      await bed.order(script)
      await bed.reported('unpacking')
      const third = await bed.order(text('the third')) // joined while the second waits for the first
      await bed.reported('unpacked', 'none')
      const ofThird = bed.reports.filter(({ generation }) => generation === third.order.generation)
      expect(ofThird.map(({ script }) => script)).not.toContain('running')
    },
    60_000,
  )

  walk('is not taken while nobody knows which order was the newest: the file is named', async () => {
    const file = path.join(bed.servers.agentDir, 'accepted-delivery.json')
    fs.writeFileSync(file, '{"generation":1')
    await bed.order(text('the secret'))
    await bed.startAgent()
    await until('the log to say so', () => bed.told(/accepted-delivery\.json does not say which delivery was the newest/).length > 0)
    expect(bed.reports.every(({ state }) => state === 'waiting')).toBe(true)
    fs.rmSync(file)
    await bed.reported('unpacked')
  })
})
