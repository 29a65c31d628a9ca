import crypto from 'node:crypto'
import { flushCompileCache, syncBuiltinESMExports } from 'node:module'
import { ModernFakeTimers } from '@jest/fake-timers'
import { ModuleMocker } from 'jest-mock'

/** The password of a key store takes 17 ms each time that one is opened, on purpose. What was derived of the same words by the same file is not derived again. */
const derived = new Map()
const { pbkdf2Sync } = crypto
crypto.pbkdf2Sync = (...given) => {
  const words = given.map((one) => (typeof one === 'object' ? Buffer.from(one).toString('base64') : one)).join()
  if (!derived.has(words)) derived.set(words, pbkdf2Sync(...given))
  return Buffer.from(derived.get(words))
}
syncBuiltinESMExports()

/** Jest's environment without a world of its own: test files of a worker have one, and what they change of the process is put back behind each of them. */
export default class SharedEnvironment {
  global = globalThis
  fakeTimers = null
  moduleMocker = new ModuleMocker(globalThis)
  #putBack = remembered()

  constructor({ projectConfig }) {
    this.fakeTimersModern = new ModernFakeTimers({ config: projectConfig, global: globalThis })
    process.umask(0o022)
  }

  async setup() {
    this.#putBack.builtins() // jest has put a loader of its own there
  }

  async teardown() {
    this.fakeTimersModern.dispose()
    derived.clear()
    for (const one of Object.values(this.#putBack)) one()
    flushCompileCache() // at the end of a worker it would take longer than jest waits
  }

  getVmContext() {
    return null
  }

  exportConditions() {
    return ['node', 'node-addons']
  }
}

/** What a test file may change, and jest for it. */
function remembered() {
  const { exit, getBuiltinModule, title, exitCode } = process
  const words = [...process.argv]
  const { console } = globalThis
  const [environment, directory] = [{ ...process.env }, process.cwd()]
  const listeners = process.eventNames().map((name) => [name, process.rawListeners(name)])
  return {
    builtins: () => Object.assign(process, { getBuiltinModule }),
    process: () => Object.assign(process, { exit, title, exitCode, argv: words }),
    console: () => Object.assign(globalThis, { console }),
    directory: () => process.chdir(directory),
    environment() {
      for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
      Object.assign(process.env, environment)
    },
    listeners() {
      const before = new Map(listeners)
      for (const name of process.eventNames())
        for (const listener of process.rawListeners(name)) if (!before.get(name)?.includes(listener)) process.off(name, listener)
    },
  }
}
