import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { digestTables } from '../../../src/io/db/copy-tables.ts'
import { openToRead } from '../../../src/io/db/open-to-read.ts'
import { VERIFIER_TABLES } from '../../../src/io/db/verifier-copy.ts'
import { DATABASES } from '../../databases.ts'
import { runtimePolicy } from '../../ima.ts'
import { startPostgres, type TestPostgres } from '../../postgres.ts'
import { PROGRAM } from '../../program.ts'
import { PushBed } from '../../push-bed.ts'
import { holds } from '../../secret-search.ts'
import { until } from '../../servers.ts'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../../..')
let server: TestPostgres

beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())

describe.each(DATABASES)('on %s', (kind) => {
  const bed = new PushBed()
  const at = (name: string) => path.join(bed.home.dir, name)
  const [first, second] = [randomBytes(32), randomBytes(32)]

  async function verifier(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const node = ['--disable-warning=ExperimentalWarning', PROGRAM, 'verifier']
    const env = { ...bed.home.env, PATH: process.env['PATH'] }
    return run(path.join(ROOT, 'node_modules/.bin/node'), [...node, ...args], { env }).then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
      (error) => ({ code: error.code, out: error.stdout, err: error.stderr }),
    )
  }

  const stop = async () => {
    await bed.admin.close()
    await bed.verifier.stop()
  }
  const events = () =>
    fs
      .readFileSync(at('audit.log'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).event)
  const toldOf = (...types: string[]) => events().filter(({ type }) => types.includes(type))
  const policy = { body: { runtime_policy: Buffer.from(runtimePolicy()).toString('base64') } }

  beforeAll(async () => {
    bed.home.env['KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF'] = 'false' // a slow machine would wait for half a minute before the machine that drops quotes is asked again
    if (kind === 'PostgreSQL') bed.home.env['KEYLIME_VERIFIER_DATABASE_URL'] = server.url()
    await bed.start()
  })
  afterAll(() => bed.stop())

  test('a backup is taken while the verifier runs; it has no key share, and its owner alone can read it', async () => {
    const held = await bed.machine()
    held.answer.set('/quotes/integrity', () => 'drop')
    await bed.add('held', held, { v: first.toString('base64') })
    await bed.add('done', await bed.machine(), { v: second.toString('base64') })
    await bed.add('gone', await bed.machine())
    await bed.add('liar', await bed.machine())
    await until('V', async () => (await bed.status('done')).v_released)
    await bed.inState('liar', 3)
    const { ordered } = await bed.takingMachine('waiting')
    const taken = await verifier('backup', at('one.backup'), '--json')
    expect([taken.code, taken.err]).toEqual([0, ''])
    expect(JSON.parse(taken.out)).toMatchObject({
      file: at('one.backup'),
      verifier: 'default',
      tables: { agents: 5, mailboxes: 0, mailbox_pieces: 0 },
    })
    expect(fs.statSync(at('one.backup')).mode & 0o777).toBe(0o600)
    const bytes = fs.readFileSync(at('one.backup'))
    for (const secret of [first, second, ordered.v]) expect(holds(bytes, secret)).toBe(false)
    expect([bytes.includes('waiting'), bytes.includes(ordered.mailbox.payload!.slice(0, 40))]).toEqual([true, false])
    const again = await verifier('backup', at('one.backup'))
    expect([again.code, again.err]).toEqual([1, expect.stringMatching(/is there already[\s\S]*hint: .*--replace/)])
    const directory = await verifier('backup', bed.home.dir, '--replace')
    expect([directory.code, directory.err]).toEqual([1, expect.stringContaining('is a directory\nhint: name a file in it')])
    expect((await verifier('backup', at('one.backup'), '--replace')).out).toMatch(/has 5 machines, 0 policies of .* as of 20/)
    fs.writeFileSync(at('other'), 'mine')
    expect(await verifier('backup', at('other'), '--replace')).toMatchObject({ code: 1, err: expect.stringContaining('is not a backup') })
    expect(fs.readFileSync(at('other'), 'utf8')).toBe('mine')
    expect(fs.readdirSync(bed.home.dir).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('restored, it is told, and no V that may have been released since is released again, by either way', async () => {
    const { agent: pushed, ordered } = await bed.takingMachine('pushed')
    expect((await verifier('backup', at('two.backup'))).code).toBe(0)
    const [held, , , liar] = bed.machines
    held!.answer.clear()
    await until('V', () => held!.received.length === 1)
    expect(await pushed.fetchV()).toEqual(ordered.v)
    await bed.add('since', await bed.machine(), { v: randomBytes(32).toString('base64') })
    await bed.admin.request('DELETE', '/v2.6/agents/gone')
    expect((await bed.admin.request('POST', '/v2.6/allowlists/fresh', policy)).status).toBe(201)
    liar!.pcrs.set(16, Buffer.alloc(32, 7))
    await bed.inState('liar', 9)

    const busy = await verifier('restore', at('two.backup'), '--yes')
    expect([busy.code, busy.err]).toEqual([1, expect.stringMatching(/runs? on|running on/)])
    await stop()
    held!.newTransportKey() // nothing but the record of the release forbids this one
    liar!.pcrs.delete(16)
    const asked = await verifier('restore', at('two.backup'))
    expect([asked.code, asked.err]).toEqual([5, expect.stringMatching(/nothing was changed[\s\S]*--yes/)])
    const checked = await verifier('restore', at('two.backup'), '--dry-run')
    expect([checked.code, checked.out]).toEqual([0, expect.stringMatching(/is whole: 6 machines.*nothing was changed/)])

    const restored = await verifier('restore', at('two.backup'), '--yes', '--json')
    expect([restored.code, restored.err]).toEqual([0, ''])
    const report = JSON.parse(restored.out)
    expect(report).toMatchObject({
      ...{ restored: true, withheld: ['held', 'pushed', 'waiting'], lost: ['since'] },
      since: {
        added: ['since'],
        removed: ['gone'],
        updated: [],
        failed: ['liar'],
        stopped: [],
        reactivated: [],
        policies: ['runtime fresh'],
      },
    })
    expect(fs.readdirSync(bed.home.dir).filter((name) => name.endsWith('.tmp'))).toEqual([])

    await bed.start()
    await until('attestations', async () => (await bed.status('held')).attestation_count > 2)
    expect(await bed.status('held')).toMatchObject({ operational_state: 3, v_released: false, v_withheld: true })
    expect(held!.received).toEqual([first])
    pushed.token = null
    expect(await pushed.fetchV()).toBeNull()
    await expect(pushed.mailbox()).rejects.toThrow('404')
    expect(await bed.status('pushed')).toMatchObject({ v_withheld: true })
    expect((await bed.admin.request('GET', '/v2.6/agents/since')).status).toBe(404)
    expect((await bed.status('done')).v_released).toBe(true)
    await until('the event', () => toldOf('v_withheld').length === 3)
    expect(toldOf('database_restored')).toEqual([expect.objectContaining({ verifier_id: 'default', agents: 6, withheld: 3 })])
    expect(toldOf('v_withheld').map(({ agent_id }) => agent_id)).toEqual(['held', 'pushed', 'waiting'])
    expect(toldOf('database_put_back')).toEqual([])
  })

  test('it is told once, and another delivery is released', async () => {
    await bed.restart()
    const [held] = bed.machines
    expect((await bed.admin.request('PUT', '/v2.6/agents/held', { body: { v: second.toString('base64') } })).status).toBe(200)
    await until('the second V', () => held!.received.length === 2)
    expect(held!.received).toEqual([first, second])
    expect(toldOf('database_restored')).toHaveLength(1)
  })

  test('a damaged backup, another file and one of a newer program are refused, and nothing is changed', async () => {
    await stop()
    const whole = fs.readFileSync(at('two.backup'))
    const put = (name: string, bytes: Buffer) => {
      fs.writeFileSync(at(name), bytes)
      return at(name)
    }
    const changed = Buffer.from(whole)
    changed.write('hald', changed.indexOf('held'))
    const newer = new DatabaseSync(put('newer', whole))
    const head = (newer.prepare('select head from keylime_backup').get() as { head: string }).head.replace(/"schema":\d+/, '"schema":999')
    newer.prepare('update keylime_backup set head = ?, digest = ?').run(head, createHash('sha256').update(head).digest('hex'))
    newer.close()
    const refused: [string, number, RegExp][] = [
      [put('changed', changed), 1, /is damaged: table \w+ is not what was written/],
      [put('cut', whole.subarray(0, whole.length / 2)), 1, /is damaged/],
      [put('text', Buffer.from('no backup')), 1, /is not a backup/],
      [put('newer', fs.readFileSync(at('newer'))), 1, /comes from a newer program/],
      [at('nowhere'), 6, /there is no backup/],
    ]
    for (const [file, code, text] of refused)
      for (const how of ['--yes', '--dry-run']) {
        const { code: ended, err } = await verifier('restore', file, how)
        expect([file, ended, err]).toEqual([file, code, expect.stringMatching(text)])
        expect(err).not.toMatch(/\n {4}at /)
      }
    await bed.start()
    expect(await bed.status('held')).toMatchObject({ v_released: true, v_withheld: false })
    expect(toldOf('database_restored', 'database_put_back')).toHaveLength(1)
  })

  test('a V that someone put into a backup is withheld, too', async () => {
    await stop()
    fs.copyFileSync(at('two.backup'), at('forged'))
    const forged = new DatabaseSync(at('forged'))
    forged.prepare("update agents set v = ?, v_state = 'held' where agent_id = 'done'").run(first.toString('base64'))
    const head = JSON.parse((forged.prepare('select head from keylime_backup').get() as { head: string }).head)
    const read = await openToRead(at('forged'), '')
    head.tables = await digestTables(read, VERIFIER_TABLES, () => undefined)
    await read.destroy()
    const text = JSON.stringify(head)
    forged.prepare('update keylime_backup set head = ?, digest = ?').run(text, createHash('sha256').update(text).digest('hex'))
    forged.close()
    const restored = await verifier('restore', at('forged'), '--yes', '--json')
    expect([restored.code, JSON.parse(restored.out).withheld]).toEqual([0, ['done', 'held', 'pushed', 'waiting']])
    await bed.start()
    expect(await bed.status('done')).toMatchObject({ v_withheld: true })
  })

  test('the database that was replaced is kept; put back by hand, it counts as older', async () => {
    await stop()
    const { kept } = JSON.parse((await verifier('restore', at('two.backup'), '--yes', '--json')).out)
    if (kind === 'SQLite') {
      expect(fs.statSync(kept).mode & 0o777).toBe(0o600)
      for (const end of ['-wal', '-shm']) fs.rmSync(`${at('cv_data.sqlite')}${end}`, { force: true })
      fs.copyFileSync(kept, at('cv_data.sqlite'))
    } else {
      const [, schema] = /^schema (\w+) of /.exec(kept)!
      await server.query(`drop schema keylime_verifier cascade; alter schema ${schema} rename to keylime_verifier`)
    }
    await bed.start()
    await until('it is told', () => toldOf('database_put_back').length === 1)
    expect(toldOf('database_put_back')[0]).toMatchObject({ found: 'older' })
    expect(await bed.status('done')).toMatchObject({ v_withheld: true })
  })

  test('a backup of one database goes into the other, and onto a host that has nothing', async () => {
    await stop()
    const before = bed.home.env['KEYLIME_VERIFIER_DATABASE_URL']
    const empty = at('empty')
    fs.mkdirSync(empty)
    bed.home.env['KEYLIME_VERIFIER_DATABASE_URL'] = kind === 'SQLite' ? server.url('?dbname=postgres') : `sqlite:///${empty}/cv.sqlite`
    const restored = await verifier('restore', at('two.backup'), '--json')
    expect([restored.code, restored.err]).toEqual([0, ''])
    expect(JSON.parse(restored.out)).toMatchObject({ kept: null, withheld: ['held', 'pushed', 'waiting'], lost: [] })
    await bed.start()
    expect(await bed.status('held')).toMatchObject({ v_withheld: true })
    expect(toldOf('database_restored').length).toBeGreaterThan(1)
    await stop()
    if (before === undefined) delete bed.home.env['KEYLIME_VERIFIER_DATABASE_URL']
    else bed.home.env['KEYLIME_VERIFIER_DATABASE_URL'] = before
    await bed.start()
  })
})
