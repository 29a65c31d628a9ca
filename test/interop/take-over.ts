import fs from 'node:fs'
import path from 'node:path'
import { runtimePolicy } from '../ima.ts'
import { startPostgres } from '../postgres.ts'
import type { AgentKind } from './config-files.ts'
import { Deployment } from './deployment.ts'
import { digestOf, type Machine } from './machine.ts'
import { stopAll } from './processes.ts'
import type { Case, Outcome } from './results.ts'
import { cacheDirectory } from './upstream.ts'

type Database = 'SQLite' | 'PostgreSQL'

interface Places {
  theirs: { verifier: string; registrar: string }
  ours: { verifier: string; registrar: string }
}

const ATTESTED = 3
const FAILED = 9
const MEASURED = ['boot_aggregate', '/usr/bin/tool-1', '/usr/bin/tool-2']
const ROLES = ['registrar', 'verifier'] as const

/** A fleet of upstream's verifier and registrar goes on with ours on what those have stored, and no agent is touched. */
export const takeOver = (): Case[] =>
  (['ours', 'python'] as const).flatMap((agent) => (['SQLite', 'PostgreSQL'] as const).map((database) => takeOverCase(agent, database)))

const takeOverCase = (agent: AgentKind, database: Database): Case => ({
  part: 'take-over',
  name: `${database}, agent ${agent === 'ours' ? 'ours' : 'theirs'}`,
  run: () => (database === 'SQLite' ? takenOver(agent, database) : onServer((places) => takenOver(agent, database, places))),
})

/** Two databases of theirs and two of ours. */
async function onServer(use: (places: Places) => Promise<Outcome>): Promise<Outcome> {
  const server = await startPostgres()
  try {
    const place = async (name: string) => {
      await server.query(`CREATE DATABASE ${name}`)
      return `postgresql://keylime@127.0.0.1:${server.port}/${name}`
    }
    const theirs = { verifier: await place('their_verifier'), registrar: await place('their_registrar') }
    return await use({ theirs, ours: { verifier: await place('our_verifier'), registrar: await place('our_registrar') } })
  } finally {
    await server.remove()
  }
}

async function takenOver(agent: AgentKind, database: Database, places?: Places): Promise<Outcome> {
  const dir = path.join(cacheDirectory(), 'runs', 'take-over', `${database}-${agent}`)
  const sides = { registrar: 'theirs', verifier: 'theirs', tenant: 'theirs', agent } as const
  const d = new Deployment(dir, { ...sides }, places ? { databases: places.theirs } : {})
  try {
    await d.start()
    const [listed, bare] = [await d.machine(), await d.machine()]
    await enrol(d, listed, bare)
    const before = await counts(d, listed, bare)
    const facts: Record<string, string> = {}
    for (const role of ROLES) {
      const start = performance.now()
      await d.takeOver(role, places?.ours[role])
      facts[role] = ((performance.now() - start) / 1000).toFixed(1)
    }
    for (const machine of [listed, bare]) await goesOn(d, machine, 3)
    const after = await counts(d, listed, bare)
    if (after.some((count, i) => count < before[i]!)) throw new Error(`counts began anew: ${before} and then ${after}`)
    for (const { id } of [listed, bare])
      if (!(await tenant(d, '-c', 'regstatus', '-u', id)).includes(id)) throw new Error(`${id} is not registered`)
    await failBoth(d, listed, bare)
    return { passed: 1, failed: 0, facts, failures: [] }
  } catch (error) {
    return { passed: 0, failed: 1, facts: {}, failures: [(error as Error).message] }
  } finally {
    await stopAll()
  }
}

/** By upstream's own tenant: one with a runtime policy, one with a static PCR. */
async function enrol(d: Deployment, listed: Machine, bare: Machine): Promise<void> {
  fs.writeFileSync(d.at('tenant/secret'), 'a secret\n')
  const digests = Object.fromEntries(MEASURED.map((file) => [file, [digestOf(file)]]))
  fs.writeFileSync(d.at('tenant/policy.json'), runtimePolicy({ digests }))
  const add = ({ id, port }: Machine, ...args: string[]) =>
    tenant(d, '-c', 'add', '-t', '127.0.0.1', '-tp', String(port), '-u', id, '-f', 'secret', ...args)
  await add(listed, '--runtime-policy', 'policy.json')
  await add(bare, '--tpm_policy', JSON.stringify({ 15: ['0'.repeat(64)] }))
  for (const machine of [listed, bare]) await goesOn(d, machine, 2)
}

/** What was judged before is judged on, by the same policies. */
async function failBoth(d: Deployment, listed: Machine, bare: Machine): Promise<void> {
  await listed.measure('/usr/bin/not-in-the-policy')
  await bare.tpm.extendPcr(15, Buffer.alloc(32, 1))
  for (const machine of [listed, bare])
    await d.until(`failure of ${machine.id}`, 60, async () => (await d.status(machine))?.operational_state === FAILED)
}

async function tenant(d: Deployment, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await d.run('keylime_tenant', args)
  if (code !== 0) throw new Error(`keylime_tenant ${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
  return stdout + stderr
}

const counts = (d: Deployment, ...machines: Machine[]) =>
  Promise.all(machines.map(async (machine) => (await d.status(machine))!.attestation_count))

/** Attested so often more than now. */
async function goesOn(d: Deployment, machine: Machine, times: number): Promise<void> {
  const before = (await d.status(machine))?.attestation_count ?? 0
  await d.until(`${times} attestations of ${machine.id}`, 60, async () => {
    const status = await d.status(machine)
    return status?.operational_state === ATTESTED && status.attestation_count >= before + times
  })
}
