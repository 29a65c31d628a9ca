import { readFileSync, statfsSync } from 'node:fs'
import { bundledLibraries } from './test/bundled-libraries.mjs'

/**
 * Files of a worker share its modules (test/shared). Each has its own, as jest has it, where one process runs files again whose sources have changed: the mutants, and `--watch`.
 */
const isShared = !process.env.KEYLIME_TESTS_APART && !process.argv.some((word) => word.startsWith('--watch'))
const WORLD = isShared
  ? { testEnvironment: '<rootDir>/test/shared/environment.mjs', testRunner: '<rootDir>/test/shared/runner.mjs' }
  : { testEnvironment: 'node', setupFiles: ['<rootDir>/test/same-umask.cjs'], moduleNameMapper: bundledLibraries() }

/** Native ESM: yargs and kysely are ESM-only and jest cannot require() them. Node itself strips the types. */
const project = (name, { folder = name, without = [] } = {}) => ({
  displayName: name,
  testPathIgnorePatterns: ['/node_modules/', ...without],
  ...WORLD,
  testMatch: [`<rootDir>/test/${folder}/**/*.test.ts`, ...(name === 'unit' ? ['<rootDir>/test/*.test.ts'] : [])],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.cjs' },
})

/**
 * Long walks: products of many rows, programs that are started dozens of times, properties with many runs. `npm run thorough` has them all, `npm test` those that it is asked for by
 * name; everything else of the same rooms is tested at each run.
 */
const WALKS = [
  'integration/processes/memory-dump',
  'integration/agent/push/hostile-deliveries',
  'integration/agent/push/lying-news',
  'integration/agent/push/push-agent',
  'integration/agent/shipped-actions',
  'integration/agent/push/lying-authorities',
  'integration/authority/rotation-behind-nat',
  'integration/authority/rotation-of-all',
  'integration/ca/largest-revocation',
  'integration/ca/listen-password',
  'integration/ca/listen-process',
  'integration/http/attack-pieces',
  'integration/http/cut-off',
  'integration/io/terminal/ask-secret',
  'integration/processes/odd-values',
  'integration/registrar/migrate',
  'integration/tenant/exit-codes',
  'integration/tenant/hostile-text',
  'integration/tenant/judged-before-enrolment',
  'integration/tools/config-page',
  'integration/tools/lab-fleet',
  'integration/tools/policy-command',
  'integration/tools/policy-upstream',
  'integration/verifier/attack',
  'integration/verifier/attack-race',
  'integration/verifier/attack-rows',
  'integration/verifier/audit-words',
  'integration/verifier/backup',
  'integration/verifier/both-databases',
  'integration/verifier/cut-database',
  'integration/verifier/hostile-agents',
  'integration/verifier/migrate',
  'integration/verifier/migrate-upstream',
  'integration/verifier/several',
  'integration/verifier/several-changed',
  'integration/verifier/several-killed',
  'integration/verifier/store-property',
  'unit/build/prepare-node',
  'unit/core/ima/properties',
  'unit/core/measured-boot/real-boot-logs',
  'unit/io/db/verifier-schema',
  'unit/tools/repository-signatures',
]
const PROJECTS = ['unit', 'integration', 'e2e', 'chaos']
const named = process.argv.slice(2).filter((word) => !word.startsWith('-') && !PROJECTS.includes(word))
const isAsked = (walk) => process.env.KEYLIME_TESTS === 'thorough' || named.some((word) => `test/${walk}.test.ts`.includes(word))
if (named.length > 0) process.env.KEYLIME_WALKS = 'asked' // tests that stand in other files: test/thorough.ts
const leftOut = WALKS.filter((walk) => !isAsked(walk)).map((walk) => `/test/${walk}\\.test`)

// Programs that tests start from the sources: types are stripped and compiled once, not at each start.
process.env.NODE_COMPILE_CACHE ??= new URL('node_modules/.cache/node-compile', import.meta.url).pathname

// Tests make thousands of small files and databases, each written through to its disk. In memory that takes no time; a test of what a disk does makes its own.
const MEMORY = '/dev/shm'
if (!process.env.TMPDIR && isRoomy(MEMORY)) process.env.TMPDIR = MEMORY

/** A tmpfs of at least a gigabyte from which programs may be started: in a container it may be small, or none. */
function isRoomy(place) {
  try {
    const [, type, options] = readFileSync('/proc/mounts', 'utf8').match(new RegExp(`^\\S+ ${place} (\\S+) (\\S+)`, 'm')) ?? []
    const { bavail, bsize } = statfsSync(place)
    return type === 'tmpfs' && !options.split(',').includes('noexec') && bavail * bsize >= 1 << 30
  } catch {
    return false
  }
}

export default {
  projects: [
    project('unit', { without: leftOut }),
    project('integration', { without: [...leftOut, '/integration/chaos/'] }),
    project('e2e'),
    project('chaos', { folder: 'integration/chaos' }),
  ],
  testTimeout: 120_000, // for a machine under load; no test waits that long when all is well
  maxWorkers: '100%', // the default leaves one core idle, on two cores that is half of the machine
  workerIdleMemoryLimit: '600MB', // vm modules are never freed
}
