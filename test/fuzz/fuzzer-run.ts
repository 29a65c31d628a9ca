import { spawn } from 'node:child_process'

/** What libFuzzer said of one run. */
export interface FuzzerRun {
  executions: number
  /** Edges that were reached, and features: edges with how often, and values compared. */
  coverage: number
  features: number
  corpus: number
  /** 0 when the time went by without a finding. */
  exit: number
  /** The end of what it printed. */
  output: string
}

const KEPT_OUTPUT = 16_384

/** Runs jazzer or a program of libFuzzer to its end, at low priority. */
export function runFuzzer(command: readonly string[], env: Record<string, string>): Promise<FuzzerRun> {
  return new Promise((resolve, reject) => {
    const child = spawn('nice', ['-n', '10', ...command], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    let output = ''
    let seen = { coverage: 0, features: 0, corpus: 0, executions: 0 }
    const take = (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-KEPT_OUTPUT)
      seen = { ...seen, ...figuresIn(output) }
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...seen, exit: code ?? -1, output }))
    stopWith(child)
  })
}

/** A fuzzer does not outlive who started it. */
function stopWith(child: { kill(signal: NodeJS.Signals): boolean; once(event: 'close', listener: () => void): unknown }): void {
  const stop = () => void child.kill('SIGKILL')
  process.once('exit', stop)
  child.once('close', () => process.off('exit', stop))
}

/** The last line of figures, and the total at the end. */
function figuresIn(output: string): Partial<FuzzerRun> {
  const lines = [...output.matchAll(/#(\d+)\t\w+ +cov: (\d+) ft: (\d+) corp: (\d+)/g)]
  const [, count, coverage, features, corpus] = lines.at(-1) ?? []
  const total = /stat::number_of_executed_units: +(\d+)/.exec(output)?.[1] ?? count
  return {
    ...(coverage ? { coverage: Number(coverage), features: Number(features), corpus: Number(corpus) } : {}),
    ...(total ? { executions: Number(total) } : {}),
  }
}
