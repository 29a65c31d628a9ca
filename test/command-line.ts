import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { Writable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { PROGRAM } from './program.ts'
import { isThorough } from './thorough.ts'

const MAIN = pathToFileURL(path.resolve(import.meta.dirname, '../src/main.ts')).href
let runs = 0

export interface Ran {
  status: number | null
  stdout: string
  stderr: string
}

export interface Surroundings {
  /** Default: that of the test. */
  env?: NodeJS.ProcessEnv
  cwd?: string
}

/**
 * `keylime ARGS` from its first line to its exit code, in the process of the test: a start of Node costs ten times as much as most commands. `npm run thorough` starts one for each.
 * For commands that ask nothing and come to an end by themselves, one after another.
 */
export async function keylime(args: readonly string[], surroundings: Surroundings = {}): Promise<Ran> {
  return isThorough ? keylimeProcess(args, surroundings) : inThisProcess(args, surroundings)
}

/** The same as a process of its own, under another name where a test says so. */
export function keylimeProcess(args: readonly string[], { argv0, ...rest }: Surroundings & { argv0?: string } = {}): Ran {
  const named = argv0 === undefined ? {} : { argv0 }
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8', ...rest, ...named })
  return { status, stdout, stderr }
}

/** One at a time: it has the words, the variables, the directory and the streams of the process meanwhile. */
export async function inThisProcess(args: readonly string[], { env = process.env, cwd }: Surroundings = {}): Promise<Ran> {
  const [stdout, stderr] = [new Kept(), new Kept()]
  const [directory, { title }] = [process.cwd(), process]
  const putBack = replaced({ stdout, stderr, argv: [process.execPath, MAIN, ...args], env: { ...env } })
  try {
    if (cwd !== undefined) process.chdir(cwd)
    const { ended } = (await import(`${MAIN}?run=${++runs}`)) as typeof import('../src/main.ts')
    await ended
    return { status: Number(process.exitCode), stdout: stdout.text, stderr: stderr.text }
  } finally {
    putBack()
    process.chdir(directory)
    Object.assign(process, { title, exitCode: undefined })
  }
}

/** What a pipe is to a program: no terminal. */
class Kept extends Writable {
  text = ''
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString('utf8')
    done()
  }
}

/** @returns what puts back what the process had. */
function replaced(values: Record<string, unknown>): () => void {
  const before = Object.keys(values).map((name) => [name, Object.getOwnPropertyDescriptor(process, name)!] as const)
  for (const [name, value] of Object.entries(values)) Object.defineProperty(process, name, { value, configurable: true, enumerable: true })
  return () => {
    for (const [name, descriptor] of before) Object.defineProperty(process, name, descriptor)
  }
}
