import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { VerifierBed } from '../../verifier-bed.ts'

let bed: VerifierBed
beforeAll(async () => {
  bed = new VerifierBed()
  await bed.start()
})
afterAll(() => bed.stop())

const damage: [string, string][] = [
  ['failures', 'null'],
  ['failures', '5'],
  ['failures', '[null]'],
  ['failures', '{}'],
  ['failures', '[{}]'],
  ['failures', '[{"eventId":5}]'],
  ['failures', 'x'],
  ['failures', '[5]'],
  ['failures', '[{"eventId":"a.b","severity":1}]'],
  ['failures', '"text"'],
  ['algorithms', '5'],
  ['algorithms', '{"hash":{"a":1}}'],
  ['v_state', 'odd'],
  ['supported_version', '9/../x'],
  ['supported_version', '2.6\r\nx: y'],
  ['transport_key', 'x'],
  ['announced_severity', 'x'],
  ['polled', 'x'],
  ['operational_state', 'x'],
  ['v', 'x'],
]
const progress: [string, unknown][] = [
  ['clock', 'x'],
  ['clock', '1'],
  ['clock', '1,2,3,4,5'],
  ['ima', 'null'],
  ['ima', '5'],
  ['ima', '{}'],
  ['ima', '{"nextEntry":"x","pcr10":5}'],
  ['ima', '{"nextEntry":-1,"pcr10":null}'],
  ['attestation_count', 'x'],
  ['last_received', 1e300],
  ['last_successful', 'x'],
]

test.each([...damage.map((d) => ['agents', ...d]), ...progress.map((d) => ['progress', ...d])] as [string, string, unknown][])(
  '%s.%s = %s',
  async (table, column, value) => {
    const machine = await bed.machine()
    expect((await bed.add('hurt', machine, { v: Buffer.alloc(32).toString('base64') })).status).toBe(200)
    expect((await bed.add('good', machine)).status).toBe(200)
    await bed.admin.request('PUT', '/v2.6/agents/hurt/stop')
    await bed.admin.close()
    await bed.verifier.stop()
    const file = path.join(bed.home.dir, 'cv_data.sqlite')
    const db = new BetterSqlite(file)
    db.prepare(`update ${table} set ${column} = ? where agent_id = 'hurt'`).run(value)
    db.close()
    const problems: string[] = []
    try {
      await bed.start()
    } catch (error) {
      throw new Error(`does not start: ${(error as Error).message}`)
    }
    await new Promise((done) => setTimeout(done, 200))
    const ask = async (method: 'GET' | 'PUT' | 'DELETE', where: string) => {
      const { status, results } = await bed.admin.request(method, `/v2.6/${where}`)
      if (status !== 200 && !(method === 'PUT' && status === 409)) problems.push(`${method} ${where} ${status}`)
      return results
    }
    const one = (await ask('GET', 'agents/hurt')) as { operational_state: number } | undefined
    await ask('GET', 'agents?bulk=True')
    if (one && ![2, 3, 4, 5, 6, 7, 9, 10].includes(one.operational_state)) problems.push(`state ${one.operational_state}`)
    await ask('PUT', 'agents/hurt/stop')
    await ask('DELETE', 'agents/hurt')
    await ask('DELETE', 'agents/good')
    expect(problems).toEqual([])
  },
)
