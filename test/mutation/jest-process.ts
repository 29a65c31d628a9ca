// The warm process of `test-runners.ts`: runs test files again and again, because starting jest takes longer than most tests do.
import { runCLI } from 'jest'

interface Order {
  readonly root: string
  readonly tests: readonly string[]
}

process.env['KEYLIME_TESTS_APART'] = 'yes' // each run has the sources as they are then
process.env['KEYLIME_TESTS'] = 'thorough' // the long walks too, where they are named

process.on('message', async ({ root, tests }: Order) => {
  const options = {
    selectProjects: ['unit', 'integration', 'chaos'],
    testPathPatterns: [...tests],
    runInBand: true,
    ci: true,
    silent: true,
    watchman: false,
    reporters: [],
    cacheDirectory: `${root}/.jest-cache`,
  }
  try {
    const { results } = await runCLI(options as never, [root])
    const failed = results.testResults.flatMap((file) => [
      ...(file.testExecError ? [`${file.testFilePath}: cannot be loaded`] : []),
      ...file.testResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
    ])
    process.send?.({ passed: results.success && results.numPassedTests > 0, count: results.numPassedTests, failed })
  } catch (error) {
    process.send?.({ passed: false, count: 0, failed: [String(error)] })
  }
})
