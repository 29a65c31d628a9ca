import { createGiveWay, createInNextTurn, createNextTurn } from '../../../src/io/next-turn.ts'

test('all who wait in one turn go on in the next, by one promise; who waits then has to wait for the one after it', async () => {
  const nextTurn = createNextTurn()
  const first = nextTurn()
  expect(nextTurn()).toBe(first)
  let turned = false
  setImmediate(() => {
    turned = true
  })
  await Promise.resolve()
  expect(turned).toBe(false)
  await first
  const second = nextTurn()
  expect(second).not.toBe(first)
  await second
  expect(turned).toBe(true)
})

test('work is done in the next turn, in its order; what it brings, in the one after it', async () => {
  const inNextTurn = createInNextTurn()
  const done: string[] = []
  inNextTurn(() => {
    done.push('one')
    inNextTurn(() => done.push('three'))
  })
  inNextTurn(() => done.push('two'))
  await Promise.resolve()
  expect(done).toEqual([])
  await new Promise(setImmediate)
  expect(done).toEqual(['one', 'two'])
  await new Promise(setImmediate)
  expect(done).toEqual(['one', 'two', 'three'])
})

test('what throws keeps nobody else from his turn', () => {
  const turns: (() => void)[] = []
  const inNextTurn = createInNextTurn((next) => turns.push(next))
  const done: string[] = []
  inNextTurn(() => {
    inNextTurn(() => done.push('three'))
    throw new Error('a bug')
  })
  inNextTurn(() => done.push('one'))
  inNextTurn(() => done.push('two'))
  expect(turns.shift()).toThrow('a bug')
  expect(done).toEqual([])
  turns.shift()!()
  expect([done, turns]).toEqual([['one', 'two', 'three'], []])
})

test('who works in slices gives way when a slice is used up, and then has a whole one again', async () => {
  let nowMs = 0
  const giveWay = createGiveWay(10, () => nowMs)
  nowMs = 9.9
  expect(giveWay()).toBeUndefined()
  nowMs = 10
  let turned = false
  setImmediate(() => {
    turned = true
    nowMs = 100 // what others did meanwhile is not its own
  })
  await giveWay()
  expect(turned).toBe(true)
  nowMs = 109
  expect(giveWay()).toBeUndefined()
})
