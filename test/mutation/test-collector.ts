type Work = (...args: never[]) => unknown

interface Suite {
  readonly name: string
  readonly parent: Suite | null
  readonly before: Work[]
  readonly after: Work[]
  readonly beforeEach: Work[]
  readonly afterEach: Work[]
  readonly parts: (Suite | { readonly name: string; readonly work: () => unknown })[]
}

export interface TestCollector {
  /** What test files find under the names that jest gives them. */
  readonly globals: Readonly<Record<string, unknown>>
  /** Runs what was collected, in order, up to the first that fails. @returns how many passed. @throws Error that names the one that failed. */
  run(): Promise<number>
}

/** As much of jest as tests of pure functions use: tests, tables of them, and what is done before and after. */
export function openCollector(): TestCollector {
  const newSuite = (name: string, parent: Suite | null): Suite => ({
    name,
    parent,
    before: [],
    after: [],
    beforeEach: [],
    afterEach: [],
    parts: [],
  })
  const root = newSuite('', null)
  let current = root
  const test = (name: string, work: () => unknown) => void current.parts.push({ name, work })
  const describe = (name: string, content: () => void) => {
    const suite = newSuite(name, current)
    current.parts.push(suite)
    current = suite
    content()
    current = suite.parent!
  }
  const skip = () => {}
  const globals = {
    test: Object.assign(test, { each: eachOf(test), skip: Object.assign(skip, { each: () => skip }) }),
    describe: Object.assign(describe, { each: eachOf(describe), skip }),
    beforeAll: (work: Work) => void current.before.push(work),
    afterAll: (work: Work) => void current.after.push(work),
    beforeEach: (work: Work) => void current.beforeEach.push(work),
    afterEach: (work: Work) => void current.afterEach.push(work),
  }
  return { globals, run: () => runSuite(root) }
}

const eachOf =
  (one: (name: string, work: () => unknown) => void) =>
  (table: readonly unknown[]) =>
  (name: string, work: (...args: unknown[]) => unknown): void => {
    for (const [at, row] of table.entries()) one(`${name} (${at})`, () => work(...(Array.isArray(row) ? row : [row])))
  }

const all = async (works: readonly Work[]) => {
  for (const work of works) await (work as () => unknown)()
}

async function runSuite(suite: Suite): Promise<number> {
  let passed = 0
  await all(suite.before)
  for (const part of suite.parts) {
    if ('parts' in part) passed += await runSuite(part)
    else {
      await runTest(suite, part)
      passed++
    }
  }
  await all(suite.after)
  return passed
}

async function runTest(suite: Suite, { name, work }: { name: string; work: () => unknown }): Promise<void> {
  const outside = suitesAround(suite)
  for (const { beforeEach } of outside) await all(beforeEach)
  try {
    await work()
  } catch (error) {
    throw new Error(`${[...outside.map((one) => one.name), name].filter(Boolean).join(' ')}`, { cause: error })
  } finally {
    for (const { afterEach } of outside.toReversed()) await all(afterEach)
  }
}

const suitesAround = (suite: Suite): Suite[] => (suite.parent ? [...suitesAround(suite.parent), suite] : [suite])
