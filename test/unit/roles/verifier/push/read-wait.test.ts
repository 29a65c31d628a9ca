import { createReadWait } from '../../../../../src/roles/verifier/push/read-wait.ts'

const body = (changes: object = {}) => Buffer.from(JSON.stringify({ seconds: 60, acknowledged: [], notifier: null, ...changes }))
const NOTICE = { digest: 'ab'.repeat(32), outcome: 'acted', reason: null }

test('the same bytes are read once, whoever sends them', () => {
  const read = createReadWait()
  expect(read(body())).toMatchObject({ seconds: 60, acknowledged: [] })
  expect(read(body())).toBe(read(body()))
  expect(read(body({ seconds: 61 }))).toMatchObject({ seconds: 61 })
})

test('only so many are kept, and the first goes', () => {
  const read = createReadWait(2)
  const [first, second] = [read(body({ seconds: 1 })), read(body({ seconds: 2 }))]
  read(body({ seconds: 3 }))
  expect(read(body({ seconds: 2 }))).toBe(second)
  expect(read(body({ seconds: 1 }))).not.toBe(first)
})

test('what acknowledges something is read anew each time', () => {
  const read = createReadWait()
  const told = body({ acknowledged: [NOTICE] })
  expect(read(told).acknowledged).toEqual([NOTICE])
  expect(read(told)).not.toBe(read(told))
})

test.each([
  ['nothing', Buffer.alloc(0)],
  ['no JSON', Buffer.from('{')],
  ['a time that is too long', body({ seconds: 3601 })],
])('%s is refused, again and again', (_, wrong) => {
  const read = createReadWait()
  for (let i = 0; i < 2; i++) expect(() => read(wrong)).toThrow(expect.objectContaining({ code: 'invalid_request' }))
})
