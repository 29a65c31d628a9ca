import fs from 'node:fs'
import path from 'node:path'
import JSZip from 'jszip'
import { openPayload } from '../../../src/core/payload/seal.ts'
import { combineKey } from '../../../src/core/payload/split-key.ts'
import { chosen, complaintOf, endAll, runRole, type Trouble, walkOf, wholeTest } from '../../chaos/role-process.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { TenantWorld } from '../tenant/fixtures.ts'

const world = new TenantWorld()
let number = 0
beforeAll(async () => {
  await world.start()
  world.file('include/autorun.sh', '#!/bin/sh\n')
})
afterEach(endAll)
afterAll(() => world.stop())

interface Enrolment {
  id: string
  ca: string
  agent: SimulatedAgent
}

const tenant = (words: string[], trouble: Trouble = {}) => runRole(['tenant', ...words], world.home.env, trouble)
const deliver = (word: 'add' | 'update', { id, ca }: Enrolment, trouble: Trouble = {}) =>
  tenant([word, '-u', id, '--cert', ca, '--include', world.path('include')], trouble)

async function enrolment(): Promise<Enrolment> {
  const id = `machine-${++number}`
  return { id, ca: world.path(`ca-${number}`), agent: await world.machine(id) }
}

/** The newest payload opens with the shares that came last, and no V came twice. */
async function isDelivered({ id, agent }: Enrolment): Promise<void> {
  const { share, payload } = agent.userKeys.at(-1)!
  const opened = await until(`V of ${id}`, () => {
    try {
      return openPayload(combineKey(share, agent.received.at(-1)!), payload!)
    } catch {
      return null // V of an enrolment before
    }
  })
  expect(Object.keys((await JSZip.loadAsync(opened)).files)).toEqual(expect.arrayContaining([`${id}-cert.crt`, 'autorun.sh']))
  expect(new Set(agent.received.map((v) => v.toString('hex'))).size).toBe(agent.received.length)
}

async function mends(failpoint: string, enrolled: Enrolment, word: 'add' | 'update'): Promise<void> {
  const again = await deliver(word, enrolled)
  expect([failpoint, complaintOf(again)]).toEqual([failpoint, null])
  if (again.code !== 0) {
    expect([failpoint, again.text]).toEqual([failpoint, expect.stringMatching(/already has agent[\s\S]*keylime tenant update/)])
    const updated = await deliver('update', enrolled)
    expect([failpoint, updated.code, updated.text]).toEqual([failpoint, 0, expect.any(String)])
  }
  await isDelivered(enrolled)
  const names = fs.readdirSync(enrolled.ca)
  expect([failpoint, names.filter((name) => /\.tmp$|making/.test(name))]).toEqual([failpoint, []])
}

async function points(word: 'add' | 'update', enrolled: Enrolment): Promise<readonly string[]> {
  const list = path.join(world.home.dir, `points-${word}`)
  const whole = await deliver(word, enrolled, { failpoint: `count:${list}` })
  expect([whole.code, whole.text]).toEqual([0, expect.any(String)])
  await isDelivered(enrolled)
  return walkOf(list).failpoints
}

test('add, killed anywhere, gives V to the machine at most once, and is done by the same command or by update', async () => {
  for (const failpoint of chosen(await points('add', await enrolment()), 1)) {
    const enrolled = await enrolment()
    const killed = await deliver('add', enrolled, { failpoint })
    expect([failpoint, killed.signal ?? complaintOf(killed)]).toEqual([failpoint, killed.code === 0 ? null : 'SIGKILL'])
    await mends(failpoint, enrolled, 'add')
    const removed = await tenant(['delete', '-u', enrolled.id])
    expect([failpoint, removed.code, removed.text]).toEqual([failpoint, 0, expect.any(String)])
  }
})

wholeTest(
  'update, killed anywhere, leaves the machine attested with the delivery before or the new one, and can be done again',
  async () => {
    const enrolled = await enrolment()
    expect((await deliver('add', enrolled)).code).toBe(0)
    for (const failpoint of chosen(await points('update', enrolled), 1)) {
      await deliver('update', enrolled, { failpoint })
      const status = await tenant(['cvstatus', '-u', enrolled.id, '--json'])
      expect([failpoint, status.code, status.text]).toEqual([failpoint, 0, expect.stringContaining(enrolled.id)])
      await mends(failpoint, enrolled, 'update')
    }
  },
)
