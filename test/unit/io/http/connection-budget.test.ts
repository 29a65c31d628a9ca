import os from 'node:os'
import { affordableConnections, ConnectionBudget, openFilesLimit } from '../../../../src/io/http/connection-budget.ts'

test('there are as many places as were given, and each is free again once', () => {
  const budget = new ConnectionBudget(2)
  const [first, second] = [budget.take(), budget.take()]
  expect([first, second, budget.take()]).toEqual([expect.anything(), expect.anything(), null])
  first!.release()
  first!.release()
  expect([budget.take(), budget.take()]).toEqual([expect.anything(), null])
})

test('what can be afforded is bounded by memory and by descriptors', () => {
  const count = affordableConnections(4)
  expect(count).toBeGreaterThanOrEqual(100)
  expect(affordableConnections(60)).toBe(Math.min(count, 20_000))
  expect(count * 90 * 1024).toBeLessThanOrEqual(Math.max(os.totalmem() / 2, 100 * 90 * 1024))
})

test.each([
  ['Limit  Soft Limit Hard Limit Units\nMax open files            1024                 524288               files\n', 1024],
  ['Max open files            unlimited            unlimited            files\n', Number.POSITIVE_INFINITY],
  ['', Number.POSITIVE_INFINITY],
])('the limit of open files is read', (text, limit) => {
  expect(openFilesLimit(text)).toBe(limit)
})
