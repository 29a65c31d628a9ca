import { type DatabaseMark, judgeAge } from '../../../../src/core/attestation/database-age.ts'

const mark = (changes: number, database = 'a'): DatabaseMark => ({ database, changes, at: 1 })

test.each([
  ['the same', mark(5), mark(5), 'current'],
  ['ahead of its mark, as a killed run leaves it', mark(6), mark(5), 'current'],
  ['one change behind', mark(4), mark(5), 'older'],
  ['of another name, however far', mark(9, 'b'), mark(5), 'other'],
  ['of another name and empty', mark(0, 'b'), mark(5), 'other'],
  ['new, without a mark', mark(0), null, 'current'],
  ['used, without a mark', mark(1), null, 'unknown'],
] as const)('a database that is %s', (_, inside, beside, age) => {
  expect(judgeAge(inside, beside)).toBe(age)
})
