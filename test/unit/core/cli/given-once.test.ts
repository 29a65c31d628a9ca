import { refuseSecondValues } from '../../../../src/core/cli/given-once.ts'

const declared = { array: ['include', 'deb-package'], alias: { include: ['i'] } }

test.each([
  [{ f: ['a', 'b'], file: ['a', 'b'] }, '--file was given 2 times'],
  [{ days: [3, 4], _: ['ca', 'create'] }, '--days was given 2 times'],
  [{ 'password-file': ['a', 'b', 'c'], passwordFile: ['a', 'b', 'c'] }, '--password-file was given 3 times'],
])('%j: %s', (values, words) => {
  expect(() => refuseSecondValues(values, declared)).toThrow(
    expect.objectContaining({ code: 'usage', message: expect.stringContaining(words) }),
  )
})

test('options that take several, and words, pass', () => {
  const values = { _: ['policy', 'merge'], include: ['a', 'b'], i: ['a', 'b'], 'deb-package': ['x'], debPackage: ['x'], file: 'a' }
  expect(() => refuseSecondValues(values, declared)).not.toThrow()
})
