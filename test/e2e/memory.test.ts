import fs from 'node:fs'
import { until } from '../servers.ts'
import { Deployment, KEYLIME, type Machine } from './deployment.ts'

// The agent mounts its tmpfs, which only root can.
const testAsRoot = process.getuid?.() === 0 ? test : test.skip

/** Resident memory of a process, in megabytes. */
const residentMb = (pid: number): number =>
  (Number(/^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024) / 1e6

const deployment = new Deployment()
let machine: Machine
afterAll(() => deployment.stop())

// The goals are 70 MB for an agent and 110 MB for each service (docs/performance.md); these bounds leave room for another libc and another kernel.
testAsRoot('some seconds after its start an idle agent is small, and so is a verifier with its registrar', async () => {
  await deployment.start()
  machine = await deployment.machine()
  const pids = { agent: machine.service.child.pid!, verifier: deployment.verifier.child.pid! }
  await until('an agent below 90 MB', () => residentMb(pids.agent) < 90, 40)
  await until('a verifier with its registrar below 130 MB', () => residentMb(pids.verifier) < 130, 40)
})

test('the executable is below 100 MB', () => {
  expect(fs.statSync(KEYLIME).size).toBeLessThan(100e6)
})
