/** Native ESM: yargs and kysely are ESM-only and jest cannot require() them. Node itself strips the types. */
const project = (name, { folder = name, without = [] } = {}) => ({
  displayName: name,
  testPathIgnorePatterns: ['/node_modules/', ...without],
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${folder}/**/*.test.ts`, ...(name === 'unit' ? ['<rootDir>/test/*.test.ts'] : [])],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.cjs' },
})

// Programs that tests start from the sources: types are stripped and compiled once, not at each start.
process.env.NODE_COMPILE_CACHE ??= new URL('node_modules/.cache/node-compile', import.meta.url).pathname

export default {
  projects: [
    project('unit'),
    // What takes long there: `npm run chaos` alone.
    project('integration', { without: ['/integration/chaos/(?:ca|clock|disk|tenant|tpm)\\.test'] }),
    project('e2e'),
    project('chaos', { folder: 'integration/chaos' }),
  ],
  testTimeout: 120_000, // for a machine under load; no test waits that long when all is well
  maxWorkers: '100%', // the default leaves one core idle, on two cores that is half of the machine
  workerIdleMemoryLimit: '600MB', // vm modules are never freed
}
