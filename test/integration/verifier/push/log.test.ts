import type { Logger } from '../../../../src/io/log/logger.ts'
import { PushBed } from '../../../push-bed.ts'

const lines: string[] = []
const note = (message: string) => void lines.push(message)
const logger: Logger = { debug: () => {}, info: note, warn: note, error: note, child: () => logger }
const bed = new PushBed()
beforeAll(() => bed.start(logger))
afterAll(() => bed.stop())

const about = (words: string) => lines.filter((line) => line.includes(words)).length

test('whoever tries proofs that do not hold, or sends what is no request, fills no log', async () => {
  const owner = await bed.pushMachine('owner')
  const thief = bed.stranger('owner')
  for (let i = 0; i < 40; i++) {
    const { id, challenge } = await owner.openSession()
    expect((await thief.request('PATCH', `/v3.0/sessions/${id}`, thief.proof(challenge))).status).toBe(401)
  }
  expect(about('did not prove')).toBeGreaterThan(0)
  expect(about('did not prove')).toBeLessThan(20)
  for (let i = 0; i < 200; i++) expect((await thief.request('POST', '/v3.0/sessions', {})).status).toBe(400)
  expect(about('/v3.0/sessions: ')).toBeGreaterThan(0)
  expect(about('/v3.0/sessions: ')).toBeLessThan(120)
})
