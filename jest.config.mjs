/** Native ESM: yargs and kysely are ESM-only and jest cannot require() them. Node itself strips the types. */
const project = (name, timeoutSeconds) => ({
  displayName: name,
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`, ...(name === 'unit' ? ['<rootDir>/test/*.test.ts'] : [])],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.cjs' },
  testTimeout: timeoutSeconds * 1000,
})

export default {
  projects: [project('unit', 20), project('integration', 60), project('e2e', 120)],
  maxWorkers: '100%', // the default leaves one core idle, on two cores that is half of the machine
  workerIdleMemoryLimit: '600MB', // vm modules are never freed
}
