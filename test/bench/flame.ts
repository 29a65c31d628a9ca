import fs from 'node:fs'
import path from 'node:path'
import { withFleet } from '../../src/tools/lab/run-fleet.ts'
import { freePorts } from '../servers.ts'
import { type Frame, foldProfile, ownShares, withoutSmall } from './flame/fold.ts'
import { profileOf } from './flame/inspector.ts'
import { PERF_OPTIONS, perfOf } from './flame/perf.ts'
import { flameGraph } from './flame/svg.ts'
import { numberOf, wordsOf } from './fleet/given.ts'
import { settle } from './fleet/run.ts'
import { execArgv } from './push/bench-verifier.ts'
import { withPushFleet } from './push.ts'
import { printTable } from './table.ts'

const OPTIONS = { agents: '1000', rate: '1000', seconds: '20', ways: 'pull,push', with: 'perf', to: 'docs/performance' }
/** Of what is drawn: less is hardly to be seen. */
const LEAST = 0.005
const LONGEST = 15

/**
 * Flame graphs of a verifier in its steady state: `docs/performance/flame-pull.svg` and `flame-push.svg`, and which functions take the most time by themselves. The verifier runs from its sources, with the same
 * settings of V8 as the executable, which takes no options of Node.js. `--agents 1000`, `--rate 1000` (attestations a second), `--seconds 20`, `--ways pull,push`,
 * `--with perf` (Debian's linux-perf: JavaScript, OpenSSL and kernel) or `v8` (its own profiler, which needs no program and sees JavaScript alone), `--to DIR`.
 */
export async function benchFlame(args: readonly string[]): Promise<void> {
  const { values } = wordsOf(args, OPTIONS, [])
  const number = (name: keyof typeof OPTIONS) => numberOf(name, values[name]!)
  const [count, seconds] = [number('agents'), number('seconds')]
  const interval = count / number('rate')
  for (const way of values['ways']!.split(',')) {
    const [port] = (await freePorts(1)) as [number]
    const run =
      values['with'] === 'perf'
        ? { options: PERF_OPTIONS, sample: (pid: number) => perfOf(pid, seconds) }
        : { options: [`--inspect=127.0.0.1:${port}`], sample: async () => foldProfile(await profileOf(port, seconds)) }
    const node = [process.execPath, ...execArgv(), ...run.options]
    const whole = await (way === 'push' ? pushed : pulled)({ count, interval, seconds, node, sample: run.sample })
    const file = path.join(values['to']!, `flame-${way}.svg`)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    const what = way === 'push' ? 'that bring their evidence' : 'that are asked'
    fs.writeFileSync(file, flameGraph(withoutSmall(whole, LEAST), `${count} machines ${what}, an attestation each ${interval} s`))
    const rows = ownShares(whole).slice(0, LONGEST)
    printTable(
      `${way}: written to ${file}; the longest by themselves`,
      ['function', '% of the work'],
      rows.map(([name, share]) => [name, (share * 100).toFixed(1)]),
    )
  }
}

interface Profiled {
  count: number
  interval: number
  seconds: number
  node: string[]
  sample(pid: number): Promise<Frame>
}

function pulled({ count, interval, seconds, node, sample }: Profiled): Promise<Frame> {
  const options = { count, interval, seconds, shares: {}, logLines: 50, policyDigests: 1000, told: () => undefined }
  return withFleet({ ...options, command: [...node, path.resolve('src/main.ts')] }, async ({ verifier }) => {
    await settle(options)
    return sample(verifier.pid)
  })
}

function pushed({ count, interval, node, sample }: Profiled): Promise<Frame> {
  const intervalSeconds = Math.max(1, Math.round(interval))
  const options = { intervalSeconds, executable: '', fromSources: true, profile: null, node }
  return withPushFleet(count, options, async ({ fleet, verifier }) => {
    await fleet.ask('live', { intervalMs: intervalSeconds * 1000, waits: false })
    await settle({ interval })
    const found = await sample(verifier.pid())
    await fleet.ask('rest', {})
    return found
  })
}
