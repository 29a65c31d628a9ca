import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { createLineSplitter } from './line-splitter.ts'
import { exitReason, startFailure } from './start-failure.ts'

export interface ScriptRun {
  /** Absolute path. */
  file: string
  args?: readonly string[]
  cwd: string
  env: Readonly<Record<string, string | undefined>>
  /** Another user, for a process that is root: with this group and no other. */
  account?: { uid: number; gid: number }
  /** Given on standard input; nothing otherwise. */
  input?: string
  timeLimitSeconds: number
  /** Output beyond this is read and dropped. */
  maxOutputBytes: number
  /** One line of output, without its end; long lines come in pieces. */
  onLine(stream: 'stdout' | 'stderr', line: string): void
  signal?: AbortSignal
}

export interface ScriptResult {
  /** null when a signal ended it, or it could not be started. */
  exitCode: number | null
  signal: NodeJS.Signals | null
  timedOut: boolean
  /** Why it could not be started at all. */
  startError?: string
  /** What the exit code alone does not say, when it is known. */
  reason?: string
  durationSeconds: number
  outputBytes: number
  /** Bytes of output that were read but not handed on. */
  droppedBytes: number
}

const KILL_GRACE_MS = 2000
/** After the script's end, how long its children may still write: a daemon that keeps the pipe must not hold us. */
const DRAIN_MS = 500
const SHELLS = ['/bin/bash', '/bin/sh']

/**
 * Runs a script in a process group of its own: by its `#!` line or as a program, else by bash, else by sh. Its pipes are always read, so it cannot hang on
 * output. At the time limit the whole group gets SIGTERM, and SIGKILL 2 s later. Never throws for what the script does.
 */
export function runScript(run: ScriptRun): Promise<ScriptResult> {
  const started = performance.now()
  const output = boundedOutput(run)
  return new Promise((resolve) => {
    const { command, args } = commandFor(run.file)
    const child = spawn(command, [...args, ...(run.args ?? [])], {
      cwd: run.cwd,
      env: run.env,
      detached: true,
      ...(run.account ? { uid: run.account.uid, gid: run.account.gid } : {}),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.stdin.on('error', () => {}) // a script need not read it
    child.stdin.end(run.input ?? '')
    child.stdout.on('data', (chunk: Buffer) => output.take('stdout', chunk))
    child.stderr.on('data', (chunk: Buffer) => output.take('stderr', chunk))
    const limit = limiter(child, run)
    let drain: NodeJS.Timeout | undefined
    const finish = (result: Pick<ScriptResult, 'exitCode' | 'signal' | 'startError'>) => {
      clearTimeout(drain)
      limit.stop()
      child.stdout.destroy()
      child.stderr.destroy()
      output.end()
      const durationSeconds = (performance.now() - started) / 1000
      const reason = exitReason(run.file, result.exitCode)
      resolve({
        ...result,
        ...(reason ? { reason } : {}),
        timedOut: limit.timedOut(),
        durationSeconds,
        outputBytes: output.bytes(),
        droppedBytes: output.dropped(),
      })
    }
    child.once('error', (error) => finish({ exitCode: null, signal: null, startError: startFailure(run.file, error) }))
    child.once('exit', (exitCode, signal) => (drain = setTimeout(() => finish({ exitCode, signal }), DRAIN_MS)))
    child.once('close', (exitCode, signal) => finish({ exitCode, signal }))
  })
}

/** A file with `#!`, or a binary, starts itself; a plain text is for the shell. */
function commandFor(file: string): { command: string; args: string[] } {
  const head = Buffer.alloc(4)
  try {
    const fd = fs.openSync(file, 'r')
    try {
      fs.readSync(fd, head, 0, 4, 0)
    } finally {
      fs.closeSync(fd)
    }
  } catch {
    return { command: file, args: [] } // the attempt to start it says why it cannot be read
  }
  const startsItself = head.subarray(0, 2).toString('latin1') === '#!' || head.toString('latin1') === '\x7fELF'
  if (startsItself) return { command: file, args: [] }
  const shell = SHELLS.find((path) => fs.existsSync(path)) ?? 'sh'
  return { command: shell, args: [file] }
}

function limiter(child: ChildProcess, { timeLimitSeconds, signal }: ScriptRun) {
  let timedOut = false
  let kill: NodeJS.Timeout | undefined
  const end = () => {
    signalGroup(child, 'SIGTERM')
    kill = setTimeout(() => signalGroup(child, 'SIGKILL'), KILL_GRACE_MS)
  }
  const timer = setTimeout(() => {
    timedOut = true
    end()
  }, timeLimitSeconds * 1000)
  signal?.addEventListener('abort', end, { once: true })
  return {
    timedOut: () => timedOut,
    stop() {
      clearTimeout(timer)
      clearTimeout(kill)
      signal?.removeEventListener('abort', end)
      if (timedOut) signalGroup(child, 'SIGKILL') // what the script started and did not wait for
    },
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {} // it has ended
}

function boundedOutput({ maxOutputBytes, onLine }: ScriptRun) {
  let bytes = 0
  let dropped = 0
  const splitters = {
    stdout: createLineSplitter((line) => onLine('stdout', line)),
    stderr: createLineSplitter((line) => onLine('stderr', line)),
  }
  return {
    take(stream: 'stdout' | 'stderr', chunk: Buffer) {
      const room = Math.max(0, Math.min(chunk.length, maxOutputBytes - (bytes - dropped)))
      bytes += chunk.length
      dropped += chunk.length - room
      if (room > 0) splitters[stream].take(chunk.subarray(0, room))
    },
    end() {
      splitters.stdout.end()
      splitters.stderr.end()
    },
    bytes: () => bytes,
    dropped: () => dropped,
  }
}
