// node test/interop/record-databases.ts: databases of the real upstream registrar and verifier, for test/vectors/upstream-databases. Two machines of ours with software TPMs are registered, enrolled and
// attested by upstream's programs, one with a policy of its own and one by a policy's name; a third is registered only, and a fourth has failed.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite from 'better-sqlite3'
import { loadAddon } from '../../src/io/native/load-addon.ts'
import { runtimePolicy } from '../ima.ts'
import { Deployment } from './deployment.ts'
import { digestOf, type Machine } from './machine.ts'
import { stopAll } from './processes.ts'
import { CURRENT, installRelease } from './upstream.ts'

const OUT = path.resolve(import.meta.dirname, '../vectors/upstream-databases')
const [ATTESTED, FAILED] = [3, 9]
const MEASURED = ['boot_aggregate', '/usr/bin/tool-1', '/usr/bin/tool-2']

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-record-'))
const d = new Deployment(dir, { registrar: 'theirs', verifier: 'theirs', tenant: 'theirs', agent: 'ours' })

async function must(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await d.run('keylime_tenant', args)
  if (code !== 0) throw new Error(`keylime_tenant ${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
}

const add = ({ id, port }: Machine, ...args: string[]) => must('-c', 'add', '-t', '127.0.0.1', '-tp', String(port), '-u', id, ...args)
const inState = (machine: Machine, state: number) =>
  d.until(`state ${state} of ${machine.id}`, 60, async () => (await d.status(machine))?.operational_state === state)

try {
  await installRelease(CURRENT)
  await d.start()
  const machines: Machine[] = []
  for (let i = 0; i < 4; i++) machines.push(await d.machine())
  const [own, named, , bad] = machines as [Machine, Machine, Machine, Machine]
  fs.writeFileSync(d.at('tenant/secret'), 'the secret of this recording\n')
  fs.writeFileSync(
    d.at('tenant/policy.json'),
    runtimePolicy({ digests: Object.fromEntries(MEASURED.map((file) => [file, [digestOf(file)]])) }),
  )
  await must('-c', 'addruntimepolicy', '--runtime-policy-name', 'fleet', '--runtime-policy', 'policy.json')
  await add(own, '-f', 'secret', '--runtime-policy', 'policy.json')
  await add(named, '-f', 'secret', '--runtime-policy-name', 'fleet')
  await add(bad, '-f', 'secret', '--tpm_policy', JSON.stringify({ 15: ['0'.repeat(64)] }))
  for (const machine of [own, named, bad]) await inState(machine, ATTESTED)
  await bad.tpm.extendPcr(15, Buffer.alloc(32, 1))
  await inState(bad, FAILED)
  await sleep(1000)
} finally {
  await stopAll()
}

fs.mkdirSync(OUT, { recursive: true })
for (const [role, name] of [
  ['verifier', 'cv_data'],
  ['registrar', 'reg_data'],
] as const) {
  const db = new BetterSqlite(d.at(role, `${name}.sqlite`), { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })
  db.pragma('journal_mode = delete')
  db.exec('vacuum')
  db.close()
  fs.copyFileSync(d.at(role, `${name}.sqlite`), path.join(OUT, `${name}-${CURRENT}.sqlite`))
}
fs.rmSync(dir, { recursive: true, force: true })
