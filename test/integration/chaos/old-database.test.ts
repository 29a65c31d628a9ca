import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed()
const file = path.join(bed.home.dir, 'cv_data.sqlite')
const mark = `${file}.mark`
const told = () =>
  fs
    .readFileSync(path.join(bed.home.dir, 'audit.log'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).event)
    .filter(({ type }) => type === 'database_put_back' || type === 'v_withheld')

/** Events are written a moment after they were raised. */
const isTold = (count: number) => until(`${count} events`, () => told().length >= count)

/** The database as it is while no verifier runs. */
async function stopped<T>(work: () => T): Promise<T> {
  await bed.admin.close()
  await bed.verifier.stop()
  const result = work()
  await bed.start()
  return result
}
const copy = () => fs.readFileSync(file)
function put(database: Buffer): void {
  for (const end of ['-wal', '-shm']) fs.rmSync(`${file}${end}`, { force: true })
  fs.writeFileSync(file, database)
}

let machine: SimulatedAgent
const [first, second] = [randomBytes(32), randomBytes(32)]
let yesterday: Buffer

beforeAll(async () => {
  await bed.start()
  machine = await bed.machine()
})
afterAll(() => bed.stop())

test('a database of yesterday is told, and V that was released since is not released again', async () => {
  machine.answer.set('/quotes/integrity', () => 'drop')
  await bed.add('one', machine, { v: first.toString('base64') })
  yesterday = await stopped(copy)
  machine.answer.clear()
  await until('V', () => machine.received.length === 1)
  await bed.inState('one', 3)
  await bed.add('since', await bed.machine())
  machine.newTransportKey() // as after a restart of the machine: nothing but the record of the release forbids this key
  await stopped(() => put(yesterday))
  await bed.inState('one', 3)
  await until('another attestation', async () => (await bed.status('one')).attestation_count > 2)
  expect(machine.received).toEqual([first])
  expect(await bed.status('one')).toMatchObject({ v_released: false, v_withheld: true })
  await isTold(2)
  expect(told()).toEqual([
    {
      type: 'database_put_back',
      found: 'older',
      missing: expect.any(Number),
      last_change: expect.stringMatching(/^20/),
      expected_change: expect.stringMatching(/^20/),
      withheld: 1,
    },
    { type: 'v_withheld', agent_id: 'one' },
  ])
  expect(told()[0].missing).toBeGreaterThan(0)
})

test('it is told once, and another delivery is released', async () => {
  await bed.restart()
  expect(told()).toHaveLength(2)
  const { status } = await bed.admin.request('PUT', '/v2.6/agents/one', { body: { v: second.toString('base64') } })
  expect(status).toBe(200)
  await until('the second V', () => machine.received.length === 2)
  expect(machine.received).toEqual([first, second])
  expect(await bed.status('one')).toMatchObject({ v_withheld: false })
})

test('the same database, put back once more, is told once more', async () => {
  await stopped(() => put(yesterday))
  await isTold(4)
  expect(told().at(-2)).toMatchObject({ found: 'older', withheld: 1 })
  await until('an attestation', async () => (await bed.status('one')).attestation_count > 1)
  expect(machine.received).toEqual([first, second])
})

test('a database without its mark may be an older one; one that was begun anew is another', async () => {
  await stopped(() => fs.rmSync(mark))
  await isTold(5)
  expect(told().at(-1)).toMatchObject({ found: 'unknown', withheld: 0 })
  await stopped(() => fs.writeFileSync(mark, '{"cut'))
  await isTold(6)
  expect(told().at(-1)).toMatchObject({ found: 'unknown' })
  await stopped(() => put(Buffer.alloc(0)))
  await isTold(7)
  expect(told().at(-1)).toMatchObject({ found: 'other', withheld: 0, last_change: '' })
})

test('a verifier that was killed leaves a mark that is behind, which is nothing to tell of', async () => {
  await bed.add('two', machine)
  const behind = fs.readFileSync(mark)
  await bed.add('three', machine)
  const count = told().length
  await stopped(() => fs.writeFileSync(mark, behind))
  expect(told()).toHaveLength(count)
})
