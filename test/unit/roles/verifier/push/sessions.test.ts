import { createSessions, type Sessions } from '../../../../../src/roles/verifier/push/sessions.ts'
import { runs, walk } from '../../../../thorough.ts'

let elapsed: number
let enrolled: string | undefined
let sessions: Sessions
beforeEach(() => {
  elapsed = 0
  enrolled = 'its key'
  const clock = { now: () => 1_800_000_000_000 + elapsed, monotonic: () => elapsed }
  sessions = createSessions({ clock, nonceLifetime: 60, sessionLifetime: 180, keyOf: () => enrolled })
})

test('a challenge is 16 bytes, its own for each session, and belongs to the id that was claimed', () => {
  const opened = Array.from({ length: 1000 }, () => sessions.open('a'))
  expect(new Set(opened.map(({ challenge }) => challenge.toString('hex'))).size).toBe(1000)
  const [first] = opened
  expect(first!.challenge).toHaveLength(16)
  expect(sessions.take(first!.id, 'b')!.challenge).not.toEqual(first!.challenge)
})

test('a session is tried once, and within its life', () => {
  const [once, late] = [sessions.open('a'), sessions.open('a')]
  expect(sessions.take(once.id, 'a')).toEqual({ ...once, hasExpired: false })
  expect(sessions.take(once.id, 'a')).toBeNull()
  elapsed = 59_999
  expect(sessions.take(sessions.open('a').id, 'a')).toMatchObject({ hasExpired: false })
  elapsed = 60_000
  expect(sessions.take(late.id, 'a')).toMatchObject({ hasExpired: true })
})

test.each([
  '',
  'x',
  '01234567-89ab-4cde-8f01-23456789abcd',
  '01234567-89AB-7cde-8f01-23456789abcd',
  '01234567-89ab-7cde-8f01-23456789abcd0',
])('%s is no session', (id) => {
  expect(sessions.take(id, 'a')).toBeNull()
})

test('a session of another run, or of the future, opens nothing', () => {
  const other = createSessions({
    clock: { now: () => 1_800_000_000_000, monotonic: () => 0 },
    nonceLifetime: 60,
    sessionLifetime: 180,
    keyOf: () => enrolled,
  })
  const theirs = other.open('a')
  expect(sessions.take(theirs.id, 'a')!.challenge).not.toEqual(theirs.challenge)
  elapsed = 3_600_000
  const future = sessions.open('a')
  elapsed = 0
  expect(sessions.take(future.id, 'a')).toBeNull()
})

walk('thousands of sessions that nobody proves take nothing from those of the owner', () => {
  const own = sessions.open('owner')
  for (let i = 0; i < 10_000; i++) sessions.open('owner')
  for (let i = 0; i < runs(70_000, 7000); i++) sessions.take(sessions.open('owner').id, 'owner')
  expect(sessions.take(own.id, 'owner')!.challenge).toEqual(own.challenge)
})

test('a token counts for its agent, until it ends, and nothing near it does', () => {
  const { token, expiresAt } = sessions.grant(sessions.open('a').id, 'a')
  expect(token).toMatch(/^[0-9a-f-]{36}\.[\w-]{43}$/)
  expect(expiresAt).toBe(1_800_000_180_000)
  expect(sessions.agentOf(token)).toBe('a')
  for (const other of [`${token}x`, token.slice(0, -1), token.slice(0, 36), `${token.slice(0, 37)}${'A'.repeat(43)}`, '', '.'])
    expect(sessions.agentOf(other)).toBeNull()
  elapsed = 179_999
  expect(sessions.agentOf(token)).toBe('a')
  elapsed = 180_000
  expect(sessions.agentOf(token)).toBeNull()
})

test('good evidence prolongs it, and a new proof ends it', () => {
  const before = sessions.grant(sessions.open('a').id, 'a').token
  elapsed = 100_000
  sessions.extend('a')
  sessions.extend('nobody')
  elapsed = 279_999
  expect(sessions.agentOf(before)).toBe('a')
  const after = sessions.grant(sessions.open('a').id, 'a').token
  expect([sessions.agentOf(before), sessions.agentOf(after)]).toEqual([null, 'a'])
})

test('a token counts for the key that was proven: another key under the same id is another machine', () => {
  const { token } = sessions.grant(sessions.open('a').id, 'a')
  enrolled = undefined
  expect(sessions.agentOf(token)).toBe('a') // that it is not enrolled is said where it is asked
  enrolled = 'another key'
  expect(sessions.agentOf(token)).toBeNull()
  enrolled = 'its key'
  expect(sessions.agentOf(token)).toBeNull()
})
