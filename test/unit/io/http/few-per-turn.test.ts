import { Socket } from 'node:net'
import { connectionsByTurn, fewPerTurn } from '../../../../src/io/http/few-per-turn.ts'

const turn = () => new Promise(setImmediate)

test('what comes at once is done over several turns of the event loop, in its order, and all of it', async () => {
  const done: number[] = []
  const begin = fewPerTurn<number>(4, (one) => done.push(one))
  const all = Array.from({ length: 11 }, (_, i) => i)
  for (const one of all) begin(one)
  expect(done).toEqual([0, 1, 2, 3])
  for (let before = done.length; done.length < all.length; before = done.length) {
    await turn()
    expect(done.length - before).toBeLessThanOrEqual(4)
  }
  expect(done).toEqual(all)
})

test('what comes now and then is done at once', async () => {
  const done: number[] = []
  const begin = fewPerTurn<number>(2, (one) => done.push(one))
  for (const one of [1, 2, 3]) {
    begin(one)
    expect(done).toHaveLength(one)
    await turn()
    await turn()
  }
})

test('what comes while others wait does not go before them', async () => {
  const done: string[] = []
  const begin = fewPerTurn<string>(1, (one) => {
    done.push(one)
    if (one === 'first') begin('third')
  })
  begin('first')
  begin('second')
  for (let i = 0; i < 6; i++) await turn()
  expect(done).toEqual(['first', 'third', 'second'])
})

test('a connection that is reset while it waits is nobody’s error and is not begun; those that have begun speak for themselves', async () => {
  const begun: Socket[] = []
  const begin = connectionsByTurn(1, (socket) => begun.push(socket))
  const [first, reset, last] = [new Socket(), new Socket(), new Socket()]
  for (const socket of [first, reset, last]) begin(socket)
  expect(reset.emit('error', new Error('read ECONNRESET'))).toBe(true) // an error that nobody listens to would end the program
  reset.destroy()
  for (let i = 0; i < 6; i++) await turn()
  expect(begun).toEqual([first, last])
  expect([first.listenerCount('error'), last.listenerCount('error')]).toEqual([0, 0])
})
