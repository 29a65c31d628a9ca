import { createRequire, registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(import.meta.url)
const { default: circus } = require('jest-circus/runner')
const EVENT_HANDLERS = Symbol.for('EVENT_HANDLERS')
const JEST = Symbol.for('keylime.jest')
const GLOBALS = `data:text/javascript,export const jest = new Proxy({}, { get: (_, name) => globalThis[Symbol.for('keylime.jest')][name] })`

registerHooks({
  resolve: (specifier, context, next) => (specifier === '@jest/globals' ? { url: GLOBALS, shortCircuit: true } : next(specifier, context)),
})

/**
 * Jest's own runner of tests, but that files are imported by Node itself: a module is loaded and compiled once for a worker and not once for each file, which was
 * half the time of a run. Modules keep no state (the architecture's rule), so no file notices the one before.
 */
export default async function runTests(globalConfig, config, environment, runtime, ...rest) {
  globalThis[JEST] = runtime.jestGlobals.jestObjectFor(rest[0])
  const native = Object.assign(Object.create(runtime), {
    requireInternalModule: requireAfresh,
    unstable_shouldLoadAsEsm: () => true,
    unstable_importModule: (file) => import(pathToFileURL(file).href),
  })
  try {
    return await circus(globalConfig, config, environment, native, ...rest)
  } finally {
    globalThis[EVENT_HANDLERS].push(refuseMore)
  }
}

/** Its tests and what listens to them belong to one file. */
function requireAfresh(file) {
  delete globalThis[EVENT_HANDLERS]
  delete require.cache[file]
  return require(file)
}

/** What a module that is loaded once has kept of the first file would be lost for all the others, and nobody would know. */
function refuseMore({ name }) {
  if (/^(?:add_|start_describe)/.test(name)) throw new Error('this `test`, `describe` or hook is of another file: a module must take it when it is called')
}
