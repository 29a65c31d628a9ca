import fs from 'node:fs'

/** Of USER_HZ, in which /proc counts processor time. */
const TICK_MS = 10

export interface ProcessStat {
  parent: number
  /** Of all its threads, and of its children that have ended, in milliseconds. */
  cpuMs: number
}

/** @param text of `/proc/PID/stat` (proc(5)); the name in it may have blanks and brackets. */
export function readStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(') ') + 2).split(' ')
  return { parent: Number(fields[1]), cpuMs: [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0) * TICK_MS }
}

/** A process and all that came of it, among these. */
export function treeOf(root: number, processes: ReadonlyMap<number, ProcessStat>): number[] {
  const found = new Set(processes.has(root) ? [root] : [])
  for (let size = -1; size !== found.size; ) {
    size = found.size
    for (const [pid, { parent }] of processes) if (found.has(parent)) found.add(pid)
  }
  return [...found]
}

function allProcesses(): Map<number, ProcessStat> {
  const found = new Map<number, ProcessStat>()
  for (const name of fs.readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    const text = read(`/proc/${name}/stat`)
    if (text !== null) found.set(Number(name), readStat(text))
  }
  return found
}

/** Null for one that has ended. */
function read(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return null
  }
}

/** Processor time of a process with all that came of it, in milliseconds. */
export function treeCpuMs(root: number): number {
  const processes = allProcesses()
  return treeOf(root, processes).reduce((sum, pid) => sum + processes.get(pid)!.cpuMs, 0)
}

/** Their share of the memory, in MB. */
export const treePssMb = (root: number): number =>
  treeOf(root, allProcesses()).reduce((sum, pid) => sum + pssKb(read(`/proc/${pid}/smaps_rollup`) ?? ''), 0) / 1024

/** @param text of `/proc/PID/smaps_rollup`. */
export const pssKb = (text: string): number => Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0)

/** What a process has written to disks so far, in MB. @param text of `/proc/PID/io`. */
export const writtenMb = (text: string): number => Number(/^write_bytes: (\d+)$/m.exec(text)?.[1] ?? 0) / (1 << 20)

/** How many files and connections a process has open. */
export const descriptorsOf = (pid: number): number => fs.readdirSync(`/proc/${pid}/fd`).length

/** A signal to a process and all that came of it. */
export function signalTree(root: number, signal: NodeJS.Signals): void {
  for (const pid of treeOf(root, allProcesses())) {
    try {
      process.kill(pid, signal)
    } catch {} // it has ended meanwhile
  }
}
