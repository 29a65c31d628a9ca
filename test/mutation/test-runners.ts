import { SourceTree } from './source-tree.ts'
import { type TestRun, WarmProcess } from './warm-process.ts'

/** A source with another text in its place, and the tests that are to notice. */
export interface Question {
  readonly file: string
  readonly text: string
  /** From the root. */
  readonly tests: readonly string[]
  /** After which they count as failed. */
  readonly seconds: number
}

export interface TestRunner {
  run(question: Question): Promise<TestRun>
  stop(): void
}

/** Tests of pure functions, some hundred times as fast as jest: the source is loaded with its other text, and nothing is written. */
export function quickRunner(): TestRunner {
  const runs = 200
  const process = new WarmProcess({
    script: 'quick-process.ts',
    directory: new URL('../..', import.meta.url).pathname,
    nodeOptions: [],
    runs,
  })
  return {
    run: ({ file, text, tests, seconds }) => process.run({ file, text, tests }, seconds),
    stop: () => process.stop(),
  }
}

/** Any test, by jest, in a copy of the tree. */
export function jestRunner(): TestRunner {
  let opened: { tree: SourceTree; process: WarmProcess } | null = null
  const open = () => {
    const tree = new SourceTree()
    const nodeOptions = ['--experimental-vm-modules']
    return { tree, process: new WarmProcess({ script: 'jest-process.ts', directory: tree.directory, nodeOptions, runs: 25 }) }
  }
  return {
    run({ file, text, tests, seconds }) {
      opened ??= open()
      const { tree, process } = opened
      return tree.with(file, text, () => process.run({ root: tree.directory, tests }, seconds))
    },
    stop: () => opened?.process.stop(),
  }
}
