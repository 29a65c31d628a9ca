import fs from 'node:fs'
import path from 'node:path'
import { markBeside } from '../../../src/io/db/mark-file.ts'
import type { Logger } from '../../../src/io/log/logger.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { type RunningRegistrar, startRegistrar } from '../../../src/roles/registrar/start.ts'
import { adminClient } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { registerMachine, softwareEk } from '../../software-ek.ts'
import { VerifierBed } from '../../verifier-bed.ts'

/** For its authority, and the machine. */
const bed = new VerifierBed()
const { home } = bed
const file = path.join(home.dir, 'reg_data.sqlite')
let registrar: RunningRegistrar
let errors: string[]
const logger: Logger = Object.fromEntries(
  ['debug', 'info', 'warn', 'error'].map((level) => [
    level,
    (text: string) => {
      if (level === 'error') errors.push(text)
    },
  ]),
) as never

async function start(): Promise<void> {
  errors = []
  registrar = await startRegistrar(loadRegistrarSettings(home.env), logger)
}
async function stopped<T>(work: () => T): Promise<T> {
  await registrar.stop()
  const result = work()
  await start()
  return result
}
const put = (database: Buffer) => {
  for (const end of ['-wal', '-shm']) fs.rmSync(`${file}${end}`, { force: true })
  fs.writeFileSync(file, database)
}
const revoke = async (id: string) => {
  const admin = adminClient(home.dir, registrar.tlsPort)
  expect(await admin.request('PUT', `/v2.6/agents/${id}/revoke`, { body: {} })).toMatchObject({ status: 200 })
  await admin.close()
}

let machine: SimulatedAgent

beforeAll(async () => {
  await bed.start()
  machine = await bed.machine()
  await start()
})
afterAll(async () => {
  await registrar.stop()
  await bed.stop()
})

test('a database of before a revocation is told, once; so is one that is another, and one without its mark', async () => {
  const ek = softwareEk()
  expect(await registerMachine(registrar.port, 'stolen', { machine, ek })).toMatchObject({ status: 200 })
  const before = await stopped(() => fs.readFileSync(file))
  expect(errors).toEqual([])
  await revoke('stolen')
  await stopped(() => undefined)
  expect(errors).toEqual([])
  await stopped(() => put(before))
  expect(errors.join()).toContain('is older than the one that was here before: nobody knows what operators')
  await stopped(() => undefined)
  expect(errors).toEqual([])
  await stopped(() => put(before))
  expect(errors).toHaveLength(1)
  await revoke('stolen')
  await stopped(() => fs.rmSync(`${file}.mark`))
  expect(errors.join()).toContain('has no mark beside it')
  await stopped(() => {
    for (const end of ['', '-wal', '-shm']) fs.rmSync(`${file}${end}`, { force: true })
  })
  expect(errors.join()).toContain('is not the one that was here before')
})

test('what an operator changed is in the mark when he is answered', async () => {
  const marked = async () => (await markBeside(file))!.changes
  const before = await marked()
  await revoke('nobody')
  expect(await marked()).toBe(before + 1)
})
