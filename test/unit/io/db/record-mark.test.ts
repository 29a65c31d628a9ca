import { recordMark } from '../../../../src/io/db/record-mark.ts'

test('that the mark cannot be recorded is logged once, until it can again; whoever asks meanwhile shares the next try', async () => {
  const lines: string[] = []
  let tries = 0
  let isAway = true
  const mark = {
    async record() {
      tries++
      await new Promise((resolve) => setImmediate(resolve))
      if (isAway) throw new Error('away')
    },
  }
  const record = recordMark(mark, { error: (text: string) => void lines.push(text) })
  await Promise.all(Array.from({ length: 10 }, record))
  await record()
  expect([tries, lines]).toEqual([3, ['cannot tell whether this database is an older one: away']])
  isAway = false
  await record()
  isAway = true
  await record()
  expect(lines).toHaveLength(2)
})
