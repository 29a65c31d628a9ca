import { jest } from '@jest/globals'
import { giveBackFreedMemory } from '../../../src/io/freed-memory.ts'
import { nativeAddon } from '../../../src/io/native/native-addon.ts'

afterEach(() => void jest.useRealTimers())

test('what lies free goes back only when the process has grown since the last time', () => {
  jest.useFakeTimers()
  let resident = 1000
  let times = 0
  const trim = () => {
    times++
    resident -= 50
  }
  const { stop } = giveBackFreedMemory({ resident: () => resident, trim })
  jest.advanceTimersByTime(60_000)
  expect(times).toBe(0)
  resident = 1200
  jest.advanceTimersByTime(60_000)
  expect(times).toBe(1)
  resident = 1160 // less than two percent more than after it
  jest.advanceTimersByTime(60_000)
  expect(times).toBe(1)
  resident = 1200
  jest.advanceTimersByTime(10_000)
  expect(times).toBe(2)
  stop()
  resident = 5000
  jest.advanceTimersByTime(60_000)
  expect(times).toBe(2)
})

test('a process that has shrunk meanwhile is looked at from there on', () => {
  jest.useFakeTimers()
  let resident = 1000
  let times = 0
  const { stop } = giveBackFreedMemory({ resident: () => resident, trim: () => void times++ })
  resident = 500
  jest.advanceTimersByTime(10_000)
  resident = 600
  jest.advanceTimersByTime(10_000)
  expect(times).toBe(1)
  stop()
})

test('the addon gives pages back', () => {
  expect(() => nativeAddon().trimHeap()).not.toThrow()
})
