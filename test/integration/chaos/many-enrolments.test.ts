import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { markBeside } from '../../../src/io/db/mark-file.ts'
import { adminClient, temporaryKeylimeDir, until } from '../../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'

const SIDE_BY_SIDE = 32
/** So many are answered before it is killed, in the middle of others. */
const ANSWERED = process.env['KEYLIME_CHAOS'] === 'all' ? [1, 5, 33, 64, 90, 128, 200, 301] : [5, 90]

const home = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '60' })
let child: ChildProcess
let machine: SimulatedAgent

async function start(): Promise<ReturnType<typeof adminClient>> {
  child = fork(path.join(import.meta.dirname, '../../chaos/crashing-verifier.ts'), ['0', 'after'], {
    env: { ...process.env, ...home.env },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return adminClient(home.dir, port)
}

async function killed(): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

beforeAll(async () => {
  const admin = await start()
  machine = await simulatedAgent(fs.readFileSync(path.join(home.dir, 'cv_ca/cacert.crt'), 'utf8'))
  await admin.close()
  await killed()
})
afterAll(async () => {
  await machine.stop()
  home.remove()
})

test.each(ANSWERED)(
  'killed after %d answers, each machine whose enrolment was answered is there, in the audit log, and attested',
  async (count) => {
    const name = (i: number) => `m${count}-${i}`
    const body = enrolmentBody(machine)
    const answered: string[] = []
    const first = await start()
    let number = 0
    let isOver = false
    const addOn = async () => {
      while (!isOver) {
        const id = name(number++)
        const reply = await first.request('POST', `/v2.6/agents/${id}`, { body }).catch(() => null)
        if (reply?.status === 200) answered.push(id)
        else isOver = true
      }
    }
    const adding = Promise.all(Array.from({ length: SIDE_BY_SIDE }, addOn))
    await until('answers', () => answered.length >= count)
    await killed()
    await adding
    await first.close()
    const told = fs.readFileSync(path.join(home.dir, 'audit.log'), 'utf8')
    for (const id of answered) expect(told).toContain(`"agent_id":"${id}"`)
    expect((await markBeside(path.join(home.dir, 'cv_data.sqlite')))!.changes).toBeGreaterThanOrEqual(answered.length)
    const again = await start()
    const { results } = await again.request('GET', '/v2.6/agents/')
    const listed = new Set((results as { uuids: string[][] }).uuids.flat())
    expect(answered.filter((id) => !listed.has(id))).toEqual([])
    await until('first attestations', async () => {
      const states = await Promise.all(answered.map((id) => again.request('GET', `/v2.6/agents/${id}`)))
      return states.every((state) => (state.results as { operational_state: number }).operational_state === 3)
    })
    expect(fs.readFileSync(path.join(home.dir, 'audit.log'), 'utf8')).not.toContain('database_put_back')
    await again.close()
    await killed()
  },
)
