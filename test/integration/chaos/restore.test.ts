import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { loadAddon } from '../../../src/io/native/load-addon.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { chosen, complaintOf, endAll, runRole, walkOf } from '../../chaos/role-process.ts'
import { testLogger, until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed()
const at = (...names: string[]) => path.join(bed.home.dir, ...names)
const backup = at('one.backup')
const saved = `${bed.home.dir}.saved`

/** A verifier that was backed up with a machine that waits for V, and has got it, and another machine, since. */
beforeAll(async () => {
  await bed.start()
  const machine = await bed.machine()
  machine.answer.set('/quotes/integrity', () => 'drop')
  await bed.add('before', machine, { v: randomBytes(32).toString('base64') })
  expect(await verifier(['backup', backup])).toMatchObject({ code: 0 })
  machine.answer.clear()
  await until('V', async () => (await bed.status('before')).v_released)
  await bed.add('since', await bed.machine())
  await bed.admin.close()
  await bed.verifier.stop()
  fs.cpSync(bed.home.dir, saved, { recursive: true })
})
afterEach(endAll)
afterAll(async () => {
  for (const machine of bed.machines) await machine.stop()
  fs.rmSync(saved, { recursive: true })
  bed.home.remove()
})

const verifier = (words: string[], failpoint?: string) => runRole(['verifier', ...words], bed.home.env, { failpoint })

function putBack(): void {
  for (const name of fs.readdirSync(bed.home.dir)) fs.rmSync(at(name), { recursive: true })
  fs.cpSync(saved, bed.home.dir, { recursive: true })
}

/** What is stored: ids of all machines, and how it stands with the key of the one that the backup has. */
function stored(): { ids: string[]; key: string } {
  const db = new BetterSqlite(at('cv_data.sqlite'), { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })
  try {
    expect(db.pragma('integrity_check')).toEqual([{ integrity_check: 'ok' }])
    const rows = db.prepare('select agent_id, v, v_state from agents order by agent_id').all() as Record<string, string | null>[]
    return { ids: rows.map((row) => row['agent_id']!), key: `${rows[0]!['v_state']} ${rows[0]!['v']}` }
  } finally {
    db.close()
  }
}

const OLD = { ids: ['before', 'since'], key: 'delivered null' }
const RESTORED = { ids: ['before'], key: 'withheld null' }

test('a restore that is killed anywhere leaves the database before or the restored one, and can be done again', async () => {
  const list = `${saved}.points`
  expect(await verifier(['restore', backup, '--yes'], `count:${list}`)).toMatchObject({ code: 0 })
  expect(stored()).toEqual(RESTORED)
  const { failpoints } = walkOf(list)
  fs.rmSync(list)
  const found = new Set<string>()
  for (const failpoint of chosen(failpoints, 6)) {
    putBack()
    const killed = await verifier(['restore', backup, '--yes'], failpoint)
    expect([failpoint, killed.signal ?? complaintOf(killed)]).toEqual([failpoint, killed.code === 0 ? null : 'SIGKILL'])
    const state = stored()
    expect([failpoint, state]).toEqual([failpoint, state.ids.length === 2 ? OLD : RESTORED])
    found.add(state.key)
    const running = await startVerifier(loadVerifierSettings(bed.home.env), testLogger('verifier'))
    await running.stop()
    expect([failpoint, fs.readFileSync(at('audit.log'), 'utf8').includes('database_put_back')]).toEqual([failpoint, false])
    const again = await verifier(['restore', backup, '--yes'])
    expect([failpoint, again.code, again.text]).toEqual([failpoint, 0, expect.any(String)])
    expect([failpoint, stored()]).toEqual([failpoint, RESTORED])
    expect(fs.readdirSync(bed.home.dir).filter((name) => /\.tmp/.test(name))).toEqual([])
  }
  expect(found.size).toBe(2)
})

test('a backup that is killed anywhere leaves no backup, or a whole one, and the one before until then', async () => {
  putBack()
  const [list, file] = [`${saved}.points`, at('two.backup')]
  expect(await verifier(['backup', file], `count:${list}`)).toMatchObject({ code: 0 })
  const { failpoints } = walkOf(list)
  fs.rmSync(list)
  for (const failpoint of chosen(failpoints, 4)) {
    fs.copyFileSync(backup, file)
    await verifier(['backup', file, '--replace'], failpoint)
    const checked = await verifier(['restore', file, '--dry-run'])
    expect([failpoint, checked.code, checked.text]).toEqual([failpoint, 0, expect.stringMatching(/is whole: [12] machine/)])
  }
})
