import { jest } from '@jest/globals'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { VerifierBed } from '../../verifier-bed.ts'

/** Ten seconds, some intervals, half a minute more for one that was enrolled and not attested yet, and a look of the watchdog. */
const OVERDUE_MS = 50_000
const GOES_ON = ['Date', 'setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask', 'hrtime'] as const

test('a verifier reports an agent that it asked and never judged', async () => {
  // What comes round again stands still, with the monotonic clock; connections go on as they are.
  jest.useFakeTimers({ doNotFake: [...GOES_ON] })
  const bed = new VerifierBed()
  const errors: string[] = []
  try {
    await bed.start({ ...silentLogger, error: (text) => void errors.push(text) })
    const machine = await bed.machine()
    const asked = new Promise<void>((resolve) => {
      machine.answer.set('/quotes/integrity', () => {
        resolve()
        return 'hang'
      })
    })
    expect((await bed.add('hanging', machine)).status).toBe(200)
    await jest.advanceTimersByTimeAsync(100)
    await asked
    await jest.advanceTimersByTimeAsync(OVERDUE_MS)
    expect(errors).toEqual(['agent hanging has not been judged in time'])
  } finally {
    jest.useRealTimers()
    await bed.stop()
  }
})
