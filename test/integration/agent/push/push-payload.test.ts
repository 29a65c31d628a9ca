import fs from 'node:fs'
import path from 'node:path'
import { challengeHmac } from '../../../../src/core/payload/auth-tag.ts'
import { makePackage } from '../../../../src/core/payload/certificate-package.ts'
import { until } from '../../../servers.ts'
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

  test('follows another one; and a verifier that is none of ours hears of nothing', async () => {
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
})
