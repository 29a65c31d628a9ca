import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

export interface Service {
  name: string
  pid(): number
  log(): string
  running(): boolean
  /** Its whole process group. */
  stop(): Promise<void>
}

const STOP_MS = 5_000
/** In the environment of all that this run starts, and of what that starts in turn: workers of upstream's verifier may leave their group. */
const [MARK, RUN] = ['INTEROP_RUN', randomUUID()]
const started = new Set<ChildProcess>()
const cleanups: (() => unknown)[] = []

/** What must be undone when everything has been stopped. */
export const atStop = (cleanup: () => unknown): void => void cleanups.push(cleanup)

/** A server in a process group of its own, so that its workers end with it; its output goes to `logFile`. */
export function startService(command: readonly string[], env: Record<string, string>, logFile: string): Service {
  fs.mkdirSync(path.dirname(logFile), { recursive: true })
  const log = fs.openSync(logFile, 'a')
  const [file, ...args] = command as [string, ...string[]]
  const child = spawn(file, args, { env: { ...env, [MARK]: RUN }, cwd: path.dirname(logFile), detached: true, stdio: ['ignore', log, log] })
  fs.closeSync(log)
  started.add(child)
  let failure = ''
  child.on('error', (error) => (failure = error.message))
  return {
    name: path.basename(logFile, '.log'),
    pid: () => child.pid!,
    log: () => `${fs.readFileSync(logFile, 'utf8')}${failure}`,
    running: () => child.exitCode === null && child.signalCode === null && !failure,
    stop: () => stop(child),
  }
}

/** One command to its end. @throws when it takes longer than `seconds`. */
export async function runCommand(
  command: readonly string[],
  options: { env: Record<string, string>; cwd: string; seconds?: number; input?: string },
): Promise<Finished> {
  const [file, ...args] = command as [string, ...string[]]
  const child = spawn(file, args, {
    env: { ...options.env, [MARK]: RUN },
    cwd: options.cwd,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  started.add(child)
  child.stdin.on('error', () => {}) // a program that does not read its input
  child.stdin.end(options.input ?? '')
  const result: Finished = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk) => (result.stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk) => (result.stderr += chunk))
  let late = false
  const timer = setTimeout(
    () => {
      late = true
      signal(child, 'SIGKILL')
    },
    (options.seconds ?? 60) * 1000,
  )
  const [code] = await once(child, 'close').finally(() => {
    clearTimeout(timer)
    signal(child, 'SIGKILL') // what a program leaves in its group, such as workers of a verifier that could not start
    started.delete(child)
  })
  if (late) throw new Error(`${command.join(' ')}: not done after ${options.seconds ?? 60} s\n${result.stdout}${result.stderr}`)
  return { ...result, code: code as number | null }
}

/** Ends everything that this run started; nothing else is touched. */
export async function stopAll(): Promise<void> {
  await Promise.all([...started].map(stop))
  for (const pid of ofThisRun()) kill(pid)
  for (const cleanup of cleanups.splice(0)) await cleanup()
}

async function stop(child: ChildProcess): Promise<void> {
  started.delete(child)
  if (child.pid === undefined) return
  signal(child, 'SIGTERM')
  const end = performance.now() + STOP_MS
  while (groupLives(child.pid) && performance.now() < end) await sleep(20)
  signal(child, 'SIGKILL')
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid !== undefined) kill(-child.pid, name)
}

function kill(pid: number, name: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, name)
  } catch {} // it is gone
}

function ofThisRun(): number[] {
  const isOurs = (pid: string) => {
    try {
      return fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARK}=${RUN}`)
    } catch {
      return false // it is gone, or not ours to read
    }
  }
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isOurs(name))
    .map(Number)
}

function groupLives(pid: number): boolean {
  try {
    return process.kill(-pid, 0)
  } catch {
    return false
  }
}
