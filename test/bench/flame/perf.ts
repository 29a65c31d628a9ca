import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Frame } from './fold.ts'

/** What Node.js needs to tell `perf` which function of JavaScript is where. */
export const PERF_OPTIONS = ['--perf-basic-prof', '--interpreted-frames-native-stack', '--logfile=/dev/null', '--no-logfile-per-isolate']
const HERTZ = '1997'
const MOST_TEXT = 1 << 30

/** Samples all threads of a process with `perf`: JavaScript, V8, OpenSSL and the kernel in one tree. */
export async function perfOf(pid: number, seconds: number): Promise<Frame> {
  const run = promisify(execFile)
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-perf-'))
  const data = path.join(directory, 'perf.data')
  try {
    await run('perf', ['record', '-q', '-o', data, '-F', HERTZ, '-g', '-p', String(pid), '--', 'sleep', String(seconds)])
    const map = `/tmp/perf-${pid}.map`
    fs.writeFileSync(map, latestOf(fs.readFileSync(map, 'latin1')), 'latin1')
    const { stdout } = await run('perf', ['script', '-i', data], { maxBuffer: MOST_TEXT })
    return foldPerf(stdout)
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
    fs.rmSync(`/tmp/perf-${pid}.map`, { force: true })
  }
}

/** The names of functions of JavaScript, a line each with address, size and name: memory that was used again has the name of the last that was there. */
export function latestOf(map: string): string {
  const kept: { start: number; end: number; line: string }[] = []
  for (const line of map.split('\n').toReversed()) {
    const [start, size] = line.split(' ').map((text) => Number.parseInt(text, 16))
    if (!start || !size) continue
    const end = start + size
    let [low, high] = [0, kept.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (kept[middle]!.start < start) low = middle + 1
      else high = middle
    }
    const isFree = (kept[low - 1]?.end ?? 0) <= start && (kept[low]?.start ?? end) >= end
    if (isFree) kept.splice(low, 0, { start, end, line })
  }
  return kept.map(({ line }) => `${line}\n`).join('')
}

type Place = Pick<Frame, 'name' | 'place' | 'origin'>

/** @param text of `perf script`: samples with their stacks, the innermost first. */
export function foldPerf(text: string): Frame {
  const root: Frame = { name: 'all', place: '', origin: 'native', micros: 0, children: [] }
  for (const sample of text.split('\n\n')) {
    const [head, ...lines] = sample.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    const [, thread, period] = /^(.+?) +\d+(?:\/\d+)? .*?[\d.]+: +(\d+) /.exec(head ?? '') ?? []
    if (thread === undefined) continue
    const micros = Number(period) / 1000
    const frames = lines.map(frameOf).toReversed()
    const isWhole = BOTTOM.test(frames[0]?.name ?? '')
    const stack = [
      native(`thread ${thread.trim()}`),
      ...(isWhole ? [] : [native('(callers unknown)')]),
      ...readable(frames.slice(isWhole ? 1 : 0)),
    ]
    root.micros += micros
    let at = root
    for (const place of stack) at = childOf(at, place, micros)
  }
  return sorted(root)
}

const native = (name: string): Place => ({ name, place: '', origin: 'native' })
/** Where threads begin: a stack that does not could not be followed. */
const BOTTOM = /^(?:_start|_?_libc_start|start_thread|_?_?clone)/

function childOf(frame: Frame, { name, place, origin }: Place, micros: number): Frame {
  const known = frame.children.find((one) => one.name === name && one.place === place)
  const child = known ?? { name, place, origin, micros: 0, children: [] }
  if (known === undefined) frame.children.push(child)
  child.micros += micros
  return child
}

const sorted = (frame: Frame): Frame => ({ ...frame, children: frame.children.map(sorted).toSorted((a, b) => b.micros - a.micros) })

/** `address symbol+offset (file)`. JavaScript's symbol is `JS:+name file:///place:line:column`; marks say how it was compiled. */
function frameOf(line: string): Place {
  const [, symbol = '', file = ''] = /^\s*[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.*)\)$/.exec(line) ?? []
  const [, name, url, at] = /^[A-Za-z]+:[~^+*']*(\S*) (\S+?):(\d+):\d+$/.exec(symbol) ?? []
  if (url !== undefined) {
    const [, inside] = /\/((?:src|node_modules)\/.*)$/.exec(url) ?? []
    const origin = inside === undefined ? 'node' : inside.startsWith('src/') ? 'ours' : 'library'
    return { name: name || '(anonymous)', place: inside === undefined ? url : `${inside}:${at}`, origin }
  }
  if (symbol === '[unknown]') return native(`in ${path.basename(file).replace('[unknown]', 'unknown code')}`)
  const call = symbol.replace(/^__(?:x64|arm64)_/, '').replace(/^entry_SYSCALL.*/, '(system call)')
  if (file.startsWith('[')) return { ...native(call), origin: 'kernel' }
  const short = symbol
    .replace('(anonymous namespace)', '')
    .replaceAll('::::', '::')
    .replace(/(?<=.)[(<[].*/, '')
  return native(short)
}

const isScript = ({ origin }: Place) => origin === 'ours' || origin === 'library' || origin === 'node'
/** Of these, the outermost says enough, and none where JavaScript follows: then they are only the way to it. */
const RUNS: readonly ((frame: Place) => boolean)[] = [
  ({ origin }) => origin === 'kernel',
  ({ name, origin }) => origin === 'native' && /^(?:Builtins_|v8::|v8impl::|node::|uv_|_?_libc_start|in )/.test(name),
]

/** A stack, from the outermost frame on, without what nobody looks for. */
function readable(stack: readonly Place[]): Place[] {
  const kept: Place[] = []
  for (let i = 0; i < stack.length; ) {
    const isRun = RUNS.find((is) => is(stack[i]!))
    let end = i + 1
    while (isRun && end < stack.length && isRun(stack[end]!)) end++
    const run = stack.slice(i, end)
    const isWay = isRun !== undefined && end < stack.length && (isScript(stack[end]!) || run.every(({ name }) => PLUMBING.test(name)))
    if (!isWay) kept.push(systemCallOf(run) ?? wordOf(run))
    i = end
  }
  return kept
}

/** The kernel's way in says nothing; the call does. */
const systemCallOf = (run: readonly Place[]) => run.find(({ origin, name }) => origin === 'kernel' && name.startsWith('sys_'))

/** Collections of garbage are many functions, and one thing. */
function wordOf(run: readonly Place[]): Place {
  const isCollection = run.some(({ name }) =>
    /Scaveng|MarkCompact|Heap::CollectGarbage|IncrementalMarking|ConcurrentMarking|Sweeper/.test(name),
  )
  return isCollection ? native('(garbage collection)') : (run.find(({ name }) => !PLUMBING.test(name)) ?? run.at(-1)!)
}

const PLUMBING =
  /^(?:_?_libc_start|node::(?:Start|NodeMainInstance|SpinEventLoop|InternalCallbackScope)|uv_+run|Builtins_(?:JSEntry|CEntry|JSRunMicrotasks|InterpreterEntry|CallApi)|v8::(?:Function::Call|internal::.*Invoke|internal::Execution|internal::MicrotaskQueue))/
