import { setImmediate as turn } from 'node:timers/promises'
import { askedTogether } from '../../../../src/io/db/asked-together.ts'

test('questions of one turn are one, asked behind it; each has its answer', async () => {
  const asked: number[][] = []
  const ask = askedTogether(async (questions: readonly number[]) => {
    asked.push([...questions])
    return questions.map((question) => question * 2)
  })
  const first = [ask(1), ask(2), ask(1)]
  expect(asked).toEqual([])
  expect(await Promise.all(first)).toEqual([2, 4, 2])
  expect(await ask(3)).toBe(6)
  expect(asked).toEqual([[1, 2, 1], [3]])
})

test('what is asked while an answer is awaited is a question of its own', async () => {
  let answer = 1
  const ask = askedTogether(async (questions: readonly string[]) => {
    const known = answer
    await turn()
    return questions.map(() => known)
  })
  const before = ask('a')
  await turn()
  await turn()
  answer = 2
  expect(await Promise.all([before, ask('a')])).toEqual([1, 2])
})

test('who asks for what cannot be answered hears why, and the next one asks again', async () => {
  let isBroken = true
  const ask = askedTogether(async (questions: readonly string[]) => {
    if (isBroken) throw new Error('broken')
    return questions
  })
  const outcomes = await Promise.allSettled([ask('a'), ask('b')])
  expect(outcomes).toMatchObject([{ reason: { message: 'broken' } }, { reason: { message: 'broken' } }])
  isBroken = false
  expect(await ask('c')).toBe('c')
})
