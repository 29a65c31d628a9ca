import fc from 'fast-check'
import { boundValue, cutText } from '../../../../src/core/verdict/bounded-text.ts'
import { failure, irrecoverable } from '../../../../src/core/verdict/failure.ts'
import { DEFAULT_SEVERITY, judge } from '../../../../src/core/verdict/severity.ts'

const contextOf = (facts: Record<string, unknown>) => failure('ima', 'x', { message: 'm', ...facts }).context

test('a text is cut with the number of characters that are missing, and never within one', () => {
  expect(cutText('abc', 3)).toBe('abc')
  expect(cutText('abcd', 3)).toBe('abc… (1 more characters)')
  expect(cutText('ab😀d', 3)).toBe('ab… (3 more characters)')
})

test('facts of usual size are left as they are', () => {
  const facts = { line: 7, path: '/bin/x', got: 'aa', expected: ['bb', null], deep: { a: { b: [true] } }, none: null }
  expect(contextOf(facts)).toEqual({ message: 'm', ...facts })
  expect(irrecoverable('ima', 'x', { message: 'm', ...facts }).context).toEqual({ message: 'm', ...facts })
})

test('a path of 4096 bytes stays whole, and so does the change of a policy that is made of it', () => {
  for (const path of [`/${'a'.repeat(4095)}`, `/${'ä"'.repeat(1365)}`]) {
    const accept = { digests: { [path]: ['a'.repeat(128)] } }
    const expected = Array(20).fill('b'.repeat(128))
    const meaning = 'c'.repeat(600)
    expect(contextOf({ message: 'm'.repeat(1000), path, got: 'a'.repeat(128), expected, accept, meaning })).toMatchObject({
      path,
      accept,
      meaning,
    })
  }
})

test('half of a change is none', () => {
  const path = `/${'a'.repeat(5000)}`
  const context = contextOf({ path, accept: { digests: { [path]: ['aa'] } }, meaning: 'it is let in' })
  expect(context['path']).toMatch(/^\/a{4095}… \(905 more characters\)$/)
  expect(context['accept']).toBeUndefined()
  expect(context['meaning']).toBe('it is let in')
})

test('lists, depth, and all together are bounded', () => {
  expect((contextOf({ list: Array(150).fill('a') })['list'] as string[]).slice(99)).toEqual(['a', '… (50 more)'])
  expect(JSON.stringify(contextOf({ a: [[[[[[['deep']]]]]]] }))).toBe('{"message":"m","a":[[[[["…"]]]]]}')
  const many = contextOf(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`fact${i}`, 'x'.repeat(9_000_000)])))
  expect(JSON.stringify(many).length).toBeLessThan(25_000)
})

test('whatever a fact is, its copy is bounded JSON, and marked exactly when it is not whole', () => {
  const limits = { maxText: 20, maxMembers: 5, maxDepth: 3, maxTotal: 200 }
  fc.assert(
    fc.property(
      fc.anything({ maxDepth: 6, withBigInt: true, withDate: false, withNullPrototype: false, withSparseArray: false }),
      (value) => {
        const bounded = boundValue(value, limits)
        expect((JSON.stringify(bounded.value) ?? '').length).toBeLessThan(8000)
        if (bounded.isWhole && typeof value === 'object') expect(JSON.stringify(bounded.value)).not.toContain('more characters')
      },
    ),
  )
})

describe('of one round', () => {
  const large = (id: string, recoverable = true) =>
    ({
      ...failure('ima', id, { message: id, path: 'p'.repeat(4096), got: 'g'.repeat(4096), also: 'a'.repeat(4096) }),
      recoverable,
    }) as const

  test('failures up to 256 KiB are kept, and the rest is counted', () => {
    const { failures } = judge(
      Array.from({ length: 100 }, (_, i) => large(`f${i}`)),
      DEFAULT_SEVERITY,
    )
    const size = JSON.stringify(failures.map((f) => f.context)).length
    expect(size).toBeGreaterThan(200 << 10)
    expect(size).toBeLessThan(257 << 10)
    expect(failures.at(-1)!.context['more']).toBe(100 - failures.length)
  })

  test('the worst is kept though it comes last, and so is the count of those that were dropped before', () => {
    const policy = { labels: ['low', 'high'], rules: [{ eventId: /^/, label: 'low' }] }
    const many = Array.from({ length: 50 }, (_, i) => large(`f${i}`))
    many[49]!.context['more'] = 7
    const judgement = judge([...many, large('worst', false)], policy)
    expect(judgement).toMatchObject({ recoverable: false, worst: { eventId: 'ima.worst' } })
    expect(judgement.failures.at(-1)).toBe(judgement.worst)
    expect(judgement.worst.context['more']).toBe(51 - judgement.failures.length + 7)
  })

  test('a round of usual size stays as it is', () => {
    const few = [failure('ima', 'a', { message: 'a' }), failure('ima', 'b', { message: 'b' })]
    expect(judge(few, DEFAULT_SEVERITY).failures.map((f) => f.context)).toEqual([{ message: 'a' }, { message: 'b' }])
  })
})
