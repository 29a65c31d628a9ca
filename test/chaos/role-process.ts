import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const ROOT = path.resolve(import.meta.dirname, '../..')
const NODE = path.join(ROOT, 'node_modules/.bin/node')
const FAILPOINTS = path.join(import.meta.dirname, 'failpoints.ts')

/** What is done to a process from outside. */
export interface Trouble {
  /** For `failpoints.ts`: `before:7`, `count:FILE`. */
  failpoint?: string | undefined
  /** A program with its arguments that starts it, such as `prlimit --nofile=40`. */
  under?: readonly string[] | undefined
  env?: NodeJS.ProcessEnv | undefined
}

export interface RoleProcess {
  readonly child: ChildProcess
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  isRunning(): boolean
  /** Standard output and standard error. */
  text(): string
  kill(signal?: NodeJS.Signals): Promise<void>
}

const running = new Set<RoleProcess>()

/** A role from its sources, with exactly the environment given. It ends with `endAll`, however the test went. */
export function startRole(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { failpoint, under = [], env: more }: Trouble = {},
): RoleProcess {
  const preload = failpoint === undefined ? [] : ['--import', FAILPOINTS]
  const faults = failpoint === undefined ? {} : { KEYLIME_FAILPOINT: failpoint }
  return startNode([...preload, path.join(ROOT, 'src/main.ts'), ...args], { env: { ...env, ...more, ...faults }, under })
}

/** A script of the tests, in a process of its own that ends as a role does. */
export const startScript = (file: string, args: readonly string[], { env }: { env: NodeJS.ProcessEnv }): RoleProcess =>
  startNode([file, ...args], { env, under: [] })

function startNode(args: readonly string[], { env, under }: { env: NodeJS.ProcessEnv; under: readonly string[] }): RoleProcess {
  const [program, ...rest] = [...under, NODE, '--disable-warning=ExperimentalWarning', ...args]
  const child = spawn(program!, rest, {
    cwd: os.tmpdir(),
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk))
  const role: RoleProcess = {
    child,
    ended: once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null })),
    isRunning: () => child.exitCode === null && child.signalCode === null,
    text: () => text,
    async kill(signal = 'SIGTERM') {
      child.kill(signal)
      await role.ended
    },
  }
  running.add(role)
  void role.ended.then(() => running.delete(role))
  return role
}

/** Runs a command to its end. */
export async function runRole(args: readonly string[], env: NodeJS.ProcessEnv, trouble: Trouble = {}) {
  const role = startRole(args, env, trouble)
  const end = await role.ended
  return { ...end, text: role.text() }
}

/** Whatever a test left. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map((role) => role.kill('SIGKILL')))
}

/** Waits until a role listens. @returns false when it ended first. */
export async function listens(role: RoleProcess, port: number): Promise<boolean> {
  for (const end = performance.now() + 60_000; ; ) {
    if (!role.isRunning()) return false
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (open) return true
    if (performance.now() > end) throw new Error(`nothing listens on ${port}:\n${role.text()}`)
    await sleep(20)
  }
}

/** All places where a process may be killed. */
export interface Walk {
  readonly names: readonly string[]
  readonly failpoints: readonly string[]
}

/**
 * The points that a run passes, from the list that it wrote, and where to kill it: before each of them, in the middle of each that carries data, and behind the
 * last. Before a point is behind the one before.
 */
export function walkOf(list: string): Walk {
  const names = fs.readFileSync(list, 'utf8').trimEnd().split('\n')
  const failpoints = names.flatMap((name, i) => [`before:${i + 1}`, ...(name.endsWith('(data)') ? [`half:${i + 1}`] : [])])
  return { names, failpoints: [...failpoints, `after:${names.length}`] }
}

/** `npm run chaos` walks all; `npm test` a few that are spread over all. */
export const isWhole = process.env['KEYLIME_CHAOS'] === 'all'

/** Of what takes long and has a shorter neighbour in `npm test`. */
export const wholeTest = (...it: Parameters<typeof test>): void => (isWhole ? test(...it) : test.skip(...it))

export function chosen<T>(all: readonly T[], few: number): readonly T[] {
  if (isWhole || all.length <= few) return all
  return Array.from({ length: few }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / few)]!)
}

/** A sign that the product did not expect what happened. */
export const BUG = /This is a bug|\n {4}at |unhandled|TypeError|Maximum call stack/i

/** What a process says to its operator: no stacks, and of a failure a line that begins with `error:` with a hint. */
export function complaintOf({ code, signal, text }: { code: number | null; signal: NodeJS.Signals | null; text: string }): string | null {
  if (BUG.test(text)) return `a raw failure: ${text}`
  if (signal !== null) return `it was ended by ${signal}: ${text}`
  if (code !== 0 && !/^error: .+$/m.test(text)) return `it ended with ${code} and no error line: ${text}`
  if (code !== 0 && !/^hint: .+$/m.test(text)) return `it ended with ${code} and no hint: ${text}`
  return null
}
