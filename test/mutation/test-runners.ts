import { SourceTree } from './source-tree.ts'
import { type Limits, type TimedRun, WarmProcess } from './warm-process.ts'

/** A source with another text in its place, and the tests that are to notice. */
export interface Question {
  readonly file: string
  readonly text: string
  /** From the root. */
  readonly tests: readonly string[]
  /** Beyond which they count as failed. */
  readonly limits: Limits
}

export interface TestRunner {
  run(question: Question): Promise<TimedRun>
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
    run: ({ file, text, tests, limits }) => process.run({ file, text, tests }, limits),
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
    run({ file, text, tests, limits }) {
      opened ??= open()
      const { tree, process } = opened
      return tree.with(file, text, () => process.run({ root: tree.directory, tests }, limits))
    },
    stop: () => opened?.process.stop(),
  }
}
