import { parseRuntimePolicy } from '../../../../src/core/ima/runtime-policy.ts'
import { lintPolicy } from '../../../../src/core/policy/lint-policy.ts'
import { runtimePolicy } from '../../../ima.ts'

const lint = (digests: Record<string, string[]>) =>
  lintPolicy(parseRuntimePolicy(runtimePolicy({ digests: { boot_aggregate: ['b0'.repeat(32)], ...digests } }))).map(
    ({ path, message }) => `${path}: ${message}`,
  )

test.each(['memfd:kernel', 'anon_inode:[x]', 'SYSV00000000'])('%s is what the kernel measures without a path', (name) =>
  expect(lint({ [name]: ['aa'.repeat(32)] })).toEqual([]),
)
test('a name that no log has is told', () =>
  expect(lint({ './bin/a': ['aa'.repeat(32)] })).toEqual([expect.stringMatching(/is not an absolute path$/)]))
test.each([20, 24, 28, 32, 40, 48, 64])('a kernel has digests of %i bytes', (size) =>
  expect(lint({ '/a': ['aa'.repeat(size)] }).filter((text) => text.includes('length'))).toEqual([]),
)
test('a digest that no kernel has is told', () =>
  expect(lint({ '/a': ['aa'.repeat(33)] })).toEqual([expect.stringMatching(/no kernel measures with/)]))
