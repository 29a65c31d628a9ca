import { createHash } from 'node:crypto'
import v8 from 'node:v8'
import vm from 'node:vm'
import { FRESH_IMA, type ImaProgress } from '../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../src/core/ima/runtime-policy.ts'
import { nativePcrReplay } from '../../src/io/native/pcr-replay.ts'
import { imaLine, quotedPcr10, runtimePolicy } from '../ima.ts'
import { perSecond } from './per-second.ts'
import { median, printTable } from './table.ts'

const LOGS = [1_000, 10_000, 100_000]
const POLICIES = [1_000, 100_000, 500_000]
const ROUNDS = 5

const count = (n: number) => Math.round(n).toLocaleString('en')
const digestOf = (i: number) => createHash('sha256').update(String(i)).digest('hex')
const nameOf = (i: number) => (i === 0 ? 'boot_aggregate' : `/usr/lib/x86_64-linux-gnu/package-${i % 97}/file-${i}.so`)

/** IMA: logs of some lengths judged from their first entry against policies of some sizes, and the steady state. */
export function benchIma(): void {
  const lines = Array.from({ length: LOGS.at(-1)! }, (_, i) => imaLine(`ima-ng sha256:${digestOf(i)} ${nameOf(i)}`))
  const texts = POLICIES.map((size) =>
    runtimePolicy({ digests: Object.fromEntries(Array.from({ length: size }, (_, i) => [nameOf(i), [digestOf(i)]])) }),
  )
  coldAndNaive(lines, texts)
  parsing(texts)
  steadyState(lines, texts[1]!)
}

function coldAndNaive(lines: string[], texts: string[]): void {
  const rows = LOGS.flatMap((length) =>
    POLICIES.map((size, i) => {
      // A log is not longer than its policy: it repeats itself, as that of a machine does when files change hands.
      const list = Array.from({ length }, (_, at) => lines[at % Math.min(size, lines.length)]!).join('\n')
      const quoted = replayPlainly(list)
      const policy = imaPolicy(parseRuntimePolicy(texts[i]!), false, nativePcrReplay)
      const known = JSON.parse(texts[i]!).digests as Record<string, string[]>
      const judged = rate(length, () => {
        const { failures } = policy.judge({ pcrs: quotedPcr10(quoted), list, progress: FRESH_IMA, bootAggregates: [] })
        if (failures.length > 0) throw new Error(`the log of the benchmark does not pass: ${failures[0]!.context.message}`)
      })
      const naive = rate(length, () => judgePlainly(list, known, quoted))
      return [count(length), count(size), count(judged), count(naive), (judged / naive).toFixed(1)]
    }),
  )
  printTable('IMA entries replayed and judged per second and core', ['log', 'policy', 'keylime', 'plain loop', 'ratio'], rows)
}

function rate(entries: number, work: () => void): number {
  const rates = Array.from({ length: ROUNDS }, () => {
    const start = performance.now()
    let done = 0
    for (; performance.now() - start < 200; done += entries) work()
    return (done / (performance.now() - start)) * 1000
  })
  return median(rates)
}

/** What one writes first: lines split, fields put together, a hash object for each digest. */
function judgePlainly(list: string, known: Record<string, string[]>, quoted: Buffer): void {
  let pcr = Buffer.alloc(32)
  for (const line of list.split('\n')) {
    const [, column, , fileDigest, name] = line.split(' ') as [string, string, string, string, string]
    const data = templateData(fileDigest, name)
    if (createHash('sha1').update(data).digest('hex') !== column) throw new Error('wrong template hash')
    const [, hex] = fileDigest.split(':') as [string, string]
    if (!known[name]?.includes(hex)) throw new Error('not accepted')
    pcr = createHash('sha256')
      .update(Buffer.concat([pcr, createHash('sha256').update(data).digest()]))
      .digest()
  }
  if (!pcr.equals(quoted)) throw new Error('wrong PCR')
}

const replayPlainly = (list: string): Buffer => extendPlainly(Buffer.alloc(32), list.split('\n'))

function templateData(fileDigest: string, name: string): Buffer {
  const [algorithm, hex] = fileDigest.split(':') as [string, string]
  const field = (bytes: Buffer) => {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(bytes.length)
    return [size, bytes]
  }
  const digest = Buffer.concat([Buffer.from(`${algorithm}:\0`), Buffer.from(hex, 'hex')])
  return Buffer.concat([...field(digest), ...field(Buffer.from(`${name}\0`))])
}

function parsing(texts: string[]): void {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as () => void
  const rows = texts.map((text) => {
    collect()
    const before = memoryUsed()
    const start = performance.now()
    const policy = parseRuntimePolicy(text)
    const milliseconds = performance.now() - start
    collect()
    const megabytes = (memoryUsed() - before) / 1e6
    return [count(policy.digests.size), `${milliseconds.toFixed(0)} ms`, `${megabytes.toFixed(0)} MB`]
  })
  printTable('runtime policies parsed', ['digests', 'time', 'memory kept'], rows)
}

function memoryUsed(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** A machine that is attested again and again: what a round costs does not depend on how long its log has grown. */
function steadyState(lines: string[], policyText: string): void {
  const policy = imaPolicy(parseRuntimePolicy(policyText), false, nativePcrReplay)
  const rows = LOGS.map((length) => {
    const at = length - 10
    const pcr10 = replayPlainly(lines.slice(0, at).join('\n'))
    const progress: ImaProgress = { ...FRESH_IMA, nextEntry: at, pcr10, lastMatch: { line: at, length: at } }
    const fresh = lines.slice(at, length).join('\n')
    const grown = extendPlainly(pcr10, lines.slice(at, length))
    const round = (list: string, quoted: Buffer) => () => {
      if (policy.judge({ pcrs: quotedPcr10(quoted), list, progress, bootAggregates: [] }).failures.length > 0)
        throw new Error('the round of the benchmark does not pass')
    }
    return [count(length), count(perSecond(round('', pcr10))), count(perSecond(round(fresh, grown)))]
  })
  printTable('rounds of a known machine per second and core', ['its log', 'nothing new', '10 new entries'], rows)
}

const extendPlainly = (pcr10: Buffer, lines: string[]): Buffer =>
  lines.reduce((pcr, line) => {
    const [, , , fileDigest, name] = line.split(' ') as [string, string, string, string, string]
    const data = createHash('sha256').update(templateData(fileDigest, name)).digest()
    return createHash('sha256')
      .update(Buffer.concat([pcr, data]))
      .digest()
  }, pcr10)
