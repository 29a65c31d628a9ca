// node test/interop/take-over.ts: a fleet of upstream's verifier and registrar goes on with ours on what they have stored, and no agent is touched. `--agent python` for upstream's own agents.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { runtimePolicy } from '../ima.ts'
import { Deployment, type Deployment as Fleet } from './deployment.ts'
import { digestOf, type Machine } from './machine.ts'
import { stopAll } from './processes.ts'
import { CURRENT, installRelease, LAST_PYTHON_AGENT } from './upstream.ts'

const ATTESTED = 3
const MEASURED = ['boot_aggregate', '/usr/bin/tool-1', '/usr/bin/tool-2']
const agent = process.argv.includes('python') ? 'python' : 'ours'
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-take-over-'))
const d = new Deployment(dir, { registrar: 'theirs', verifier: 'theirs', tenant: 'theirs', agent })

async function tenant(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await d.run('keylime_tenant', args)
  if (code !== 0) throw new Error(`keylime_tenant ${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
  return stdout + stderr
}

const add = ({ id, port }: Machine, ...args: string[]) => tenant('-c', 'add', '-t', '127.0.0.1', '-tp', String(port), '-u', id, ...args)

/** Attested so often more than now. */
async function goesOn(fleet: Fleet, machine: Machine, times: number): Promise<void> {
  const before = (await fleet.status(machine))?.attestation_count ?? 0
  await fleet.until(`${times} attestations of ${machine.id}`, 60, async () => {
    const status = await fleet.status(machine)
    return status?.operational_state === ATTESTED && status.attestation_count >= before + times
  })
}

try {
  await installRelease(CURRENT)
  if (agent === 'python') await installRelease(LAST_PYTHON_AGENT)
  await d.start()
  const [listed, bare] = [await d.machine(), await d.machine()]
  fs.writeFileSync(d.at('tenant/secret'), 'a secret\n')
  fs.writeFileSync(
    d.at('tenant/policy.json'),
    runtimePolicy({ digests: Object.fromEntries(MEASURED.map((file) => [file, [digestOf(file)]])) }),
  )
  await add(listed, '-f', 'secret', '--runtime-policy', 'policy.json')
  await add(bare, '-f', 'secret', '--tpm_policy', JSON.stringify({ 15: ['0'.repeat(64)] }))
  for (const machine of [listed, bare]) await goesOn(d, machine, 2)
  const counts = await Promise.all([listed, bare].map(async (machine) => (await d.status(machine))!.attestation_count))
  process.stdout.write(await d.takeOver('registrar'))
  process.stdout.write(await d.takeOver('verifier'))
  for (const machine of [listed, bare]) await goesOn(d, machine, 3)
  const after = await Promise.all([listed, bare].map(async (machine) => (await d.status(machine))!.attestation_count))
  if (after.some((count, i) => count < counts[i]!)) throw new Error(`counts began anew: ${counts} and then ${after}`)
  for (const { id } of [listed, bare])
    if (!(await tenant('-c', 'regstatus', '-u', id)).includes(id)) throw new Error(`${id} is not registered`)
  await listed.measure('/usr/bin/not-in-the-policy')
  await bare.tpm.extendPcr(15, Buffer.alloc(32, 1))
  for (const machine of [listed, bare])
    await d.until(`failure of ${machine.id}`, 60, async () => (await d.status(machine))?.operational_state === 9)
  process.stdout.write(
    `${[listed, bare].length} machines (${agent}) are attested on by ours, ${after.join(' and ')} times by now, and fail where they should\n`,
  )
} finally {
  await stopAll()
  fs.rmSync(dir, { recursive: true, force: true })
}
