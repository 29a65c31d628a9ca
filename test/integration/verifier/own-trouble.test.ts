import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

let bed: VerifierBed
beforeAll(async () => {
  bed = new VerifierBed()
  await bed.start()
})
afterAll(() => bed.stop())

test('a stored port that is none is told, and revokes nobody', async () => {
  const [hurt, peer] = [await bed.machine(), await bed.machine()]
  const notices: unknown[] = []
  peer.onNotification = (envelope) => notices.push(envelope)
  await bed.add('hurt', hurt)
  await bed.add('peer', peer)
  await bed.inState('hurt', 3)
  await bed.inState('peer', 3)
  await bed.admin.close()
  await bed.verifier.stop()
  const db = new BetterSqlite(path.join(bed.home.dir, 'cv_data.sqlite'))
  db.prepare("update agents set enrolment = json_set(enrolment, '$.port', 99999) where agent_id = 'hurt'").run()
  db.close()
  await bed.start()
  const asked = peer.quotes.length
  await until('the other is asked', () => peer.quotes.length > asked + 10)
  const { operational_state, last_event_id } = await bed.status('hurt')
  expect({ operational_state, last_event_id }).toEqual({ operational_state: 7, last_event_id: 'internal.verifier.not_taken_up' })
  const { revocations } = (await bed.admin.request('GET', '/v2.6/revocations')).results as { revocations: unknown[] }
  expect([revocations, notices]).toEqual([[], []])
})
