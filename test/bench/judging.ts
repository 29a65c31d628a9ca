import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { judgeReply } from '../../src/core/attestation/verify-evidence.ts'
import { FRESH_IMA } from '../../src/core/ima/ima-policy.ts'
import { computedKeyId, keyringText } from '../../src/core/ima/keyring.ts'
import type { Judging, RoundToJudge } from '../../src/core/judging/judging.ts'
import { openJudging } from '../../src/io/judging/open-judging.ts'
import { machineEvents, machineLog, machineState, measured, serialize } from '../boot-log.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, runtimePolicy } from '../ima.ts'
import { digestOf, JudgedMachine, RULES } from '../judged-machine.ts'
import { perSecond } from './per-second.ts'
import { median, ms, printTable } from './table.ts'

const INLINE = 240_000
const TRIES = 7

/** What judging costs, at once and in workers, whatever somebody sends. */
export async function benchJudging(): Promise<void> {
  const judging = openJudging({ rules: RULES, workers: 2, budgetSeconds: 120 })
  try {
    await atOnce(judging)
    steadyState(judging)
    await workers(judging)
    await signedLogs(judging)
    await largePolicies(judging)
  } finally {
    await judging.stop()
  }
}

/** Processor time of this thread in milliseconds. */
function cpu(work: () => unknown): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

const HOSTILE: Record<string, () => { bed: JudgedMachine; evidence: Parameters<JudgedMachine['round']>[0]; learned?: string }> = {
  'lines of one letter': () => ofLines(Array(INLINE / 3).fill('x')),
  'unknown files': () => ofLines(repeated(imaLine(`ima-ng sha256:${digestOf('evil')} /usr/bin/evil`))),
  'files of a name with 255 digests': () =>
    ofLines(repeated(imaLine(`ima-ng sha256:${digestOf('evil')} /many`)), {
      digests: { '/many': Array.from({ length: 255 }, (_, i) => digestOf(`${i}`)) },
    }),
  'long names, excludes of 4,000 steps': () =>
    ofLines([imaLine(`ima-ng sha256:${digestOf('evil')} /${'abxyz'.repeat(40_000)}`)], { excludes: HARD_EXCLUDES }),
  'short names, excludes of 4,000 steps': () =>
    ofLines(repeated(imaLine(`ima-ng sha256:${digestOf('evil')} /${'abxyz'.repeat(20)}`)), { excludes: HARD_EXCLUDES }),
  'violations, excludes of 4,000 steps': () =>
    ofLines(repeated(`10 ${'0'.repeat(40)} ima-ng sha256:${'0'.repeat(64)} /x`), { excludes: HARD_EXCLUDES }),
  'keys of a keyring': () => ofLines(repeated(imaVector('keyring.txt').toString().trim())),
  'signatures with P-521': () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' })
    return ofLines(repeated(signedLine(privateKey, publicKey)), keysOf(publicKey))
  },
  'keys of earlier rounds': () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 4096 })
    const keys = keyringText(new Map(Array.from({ length: 1000 }, (_, i) => [i, publicKey])))
    return { ...ofLines([BOOT_AGGREGATE]), learned: JSON.stringify({ keyrings: [['.ima', keys]], devices: [] }) }
  },
  'text of escapes': () => ({ bed: plain(), evidence: { results: { quote: '\u0001'.repeat(INLINE / 6) } } }),
  'a quote that is long': () => ({
    bed: plain(),
    evidence: { results: { quote: `r${'QUJD'.repeat(INLINE / 12)}:${'QUJD'.repeat(INLINE / 12)}:${'QUJD'.repeat(INLINE / 12)}` } },
  }),
  'a name of an algorithm that is long': () => ({ bed: plain(), evidence: { results: { hash_alg: 'x'.repeat(INLINE) } } }),
  'a thousand members': () => ({
    bed: plain(),
    evidence: { results: Object.fromEntries(Array.from({ length: 990 }, (_, i) => [`m${i}`, 'x'.repeat(240)])) },
  }),
  'a boot log that is not true': () => ({
    bed: withBoot(),
    evidence: { bootLog: machineLog('secure-boot-ima-ng'), results: { mb_measurement_list: machineLog('quote-ecc').toString('base64') } },
  }),
  'a boot log of tiny events': () => ({ bed: withBoot(), evidence: { bootLog: junkLog(0.7 * INLINE) } }),
  'a boot log of 200 tiny events': () => ({ bed: withBoot(), evidence: { bootLog: junkLog(15_000) } }),
  'bytes that are no boot log': () => ({ bed: withBoot(), evidence: { results: { mb_measurement_list: 'QUJD'.repeat(INLINE / 4) } } }),
}

const HARD_EXCLUDES = Array.from({ length: 30 }, (_, i) => `(?:[a-y]|x){1,50}${i}.*(?:a|b|c)+\\w{3,9}z$`)
const plain = () => new JudgedMachine({ runtime: runtimePolicy() })
const withBoot = () => new JudgedMachine({ boot: JSON.stringify(machineState('secure-boot-ima-ng')) })
const repeated = (line: string) => [BOOT_AGGREGATE, ...Array.from({ length: Math.floor(INLINE / (line.length + 2)) }, () => line)]
function ofLines(lines: string[], policy: Record<string, unknown> = {}) {
  const digests = { boot_aggregate: ['b0'.repeat(32)], ...((policy['digests'] as object) ?? {}) }
  return { bed: new JudgedMachine({ runtime: runtimePolicy({ ...policy, digests }) }), evidence: { lines, pcr10: Buffer.alloc(32, 1) } }
}
const keysOf = (key: KeyObject) => ({ 'verification-keys': keyringText(new Map([[computedKeyId(key), key]])) })

/** Events that a machine under somebody's control really measured. */
function junkLog(bytes: number): Buffer {
  const some = machineEvents('secure-boot-ima-ng').find(({ pcr, data }) => pcr === 4 && data.length > 0)!
  const tiny = measured(some, Buffer.from('x'))
  const size = serialize([tiny]).length - serialize([]).length
  return serialize(Array.from({ length: Math.floor(bytes / size) }, () => tiny))
}

function signedLine(privateKey: KeyObject, publicKey: KeyObject): string {
  const signature = sign('sha256', Buffer.from('content'), privateKey)
  const head = Buffer.alloc(9)
  head.set([3, 2, 4])
  head.writeUInt32BE(computedKeyId(publicKey), 3)
  head.writeUInt16BE(signature.length, 7)
  return imaLine(`ima-sig sha256:${digestOf('content')} /usr/bin/signed ${Buffer.concat([head, signature]).toString('hex')}`)
}

async function atOnce(judging: Judging): Promise<void> {
  const rows: string[][] = []
  for (const [name, make] of Object.entries(HOSTILE)) {
    const { bed, evidence, learned } = make()
    let where = ''
    const times: number[] = []
    for (let i = 0; i < TRIES; i++) {
      const known = bed.known(learned ? { ima: { ...FRESH_IMA, nextEntry: 1, learned, pcr10: Buffer.alloc(32) } } : {})
      const results = { ...(learned ? { ima_measurement_list_entry: 1 } : {}), ...evidence?.results }
      const round = bed.round({ ...evidence, results }, { known })
      let judged: ReturnType<Judging['judgeRound']> | undefined
      times.push(cpu(() => (judged = judging.judgeRound(round))))
      where = judged instanceof Promise ? 'in a worker' : judged?.kind === 'judged' ? `at once: ${judged.verdict.outcome}` : judged!.kind
      await judged
    }
    rows.push([name, `${bed.round(evidence).answer.length >> 10} KiB`, ms(times[0]!), ms(median(times)), ms(Math.max(...times)), where])
  }
  printTable('the worst that a machine can send, ms of the main thread', ['answer', 'size', 'first', 'median', 'longest', 'judged'], rows)
}

function steadyState(judging: Judging): void {
  const bed = plain()
  const first = judging.judgeRound(bed.round({ lines: [BOOT_AGGREGATE] }))
  if (first instanceof Promise || first.kind !== 'judged' || first.verdict.outcome !== 'passed')
    throw new Error('the round of the benchmark does not pass')
  const { ima } = first.verdict
  const known = bed.known({ ima, transportKey: bed.transportKey })
  const round = bed.round({ lines: [], pcr10: ima.pcr10!, results: { ima_measurement_list_entry: 1 } }, { known })
  const passes = (outcome: string) => {
    if (outcome !== 'passed') throw new Error('the round of the benchmark does not pass')
  }
  const plainly = perSecond(() => {
    const { results } = JSON.parse(round.answer.toString('utf8'))
    passes(judgeReply(known, { reply: results, ...round.request }).outcome)
  })
  const ported = perSecond(() =>
    passes((judging.judgeRound(round) as Extract<Awaited<ReturnType<Judging['judgeRound']>>, { kind: 'judged' }>).verdict.outcome),
  )
  const micro = (rate: number) => (1e6 / rate).toFixed(0)
  printTable(
    'a round of the steady state, microseconds',
    ['', 'µs'],
    [
      ['parsed and judged', micro(plainly)],
      ['through the port', micro(ported)],
      ['ratio', (plainly / ported).toFixed(2)],
    ],
  )
}

/** The longest turn of this thread's loop while `work` goes on, in milliseconds of processor time. */
async function longestTurn<T>(work: () => Promise<T>): Promise<{ longest: number; wall: number; result: T }> {
  let longest = 0
  let running = true
  const watch = () => {
    const before = process.threadCpuUsage()
    setImmediate(() => {
      const { user, system } = process.threadCpuUsage(before)
      longest = Math.max(longest, (user + system) / 1000)
      if (running) watch()
    })
  }
  const start = performance.now()
  const result = work()
  watch()
  await result
  running = false
  return { longest, wall: performance.now() - start, result: await result }
}

const policyText = (digests: number) =>
  Buffer.from(
    runtimePolicy({
      excludes: ['/tmp/x'],
      digests: Object.fromEntries(
        Array.from({ length: digests }, (_, i) => [`/usr/lib/package-${i % 97}/file-${i}.so`, [digestOf(`${i}`)]]),
      ),
    }),
  )

async function workers(judging: Judging): Promise<void> {
  const read = () => judging.readPolicy({ kind: 'runtime', bytes: policyText(1) })
  const before = process.memoryUsage.rss()
  const { wall } = await longestTurn(read)
  const memory = (process.memoryUsage.rss() - before) / 1e6
  const times: number[] = []
  for (let i = 0; i < 300; i++) {
    const start = performance.now()
    await read()
    times.push(performance.now() - start)
  }
  printTable(
    'workers',
    ['', ''],
    [
      ['first job', `${ms(wall)} ms`],
      ['a small job after it', `${median(times).toFixed(2)} ms`],
      ['memory of a worker', `${memory.toFixed(0)} MB`],
    ],
  )
}

async function signedLogs(judging: Judging): Promise<void> {
  const rows: string[][] = []
  for (const namedCurve of ['P-256', 'P-384', 'P-521']) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
    const bed = new JudgedMachine({ runtime: runtimePolicy(keysOf(publicKey)) })
    const line = signedLine(privateKey, publicKey)
    const round: RoundToJudge = bed.round({ lines: [BOOT_AGGREGATE, ...Array.from({ length: 20_000 }, () => line)] })
    const { longest, wall, result } = await longestTurn(async () => judging.judgeRound(round))
    if (result.kind !== 'judged' || result.verdict.outcome !== 'passed')
      throw new Error(`the log of the benchmark does not pass: ${JSON.stringify(result).slice(0, 300)}`)
    rows.push([namedCurve, `${(wall / 1000).toFixed(1)} s`, ms(longest)])
  }
  printTable('20,000 signed files in a worker', ['key', 'time', 'longest turn of the main loop, ms'], rows)
}

async function largePolicies(judging: Judging): Promise<void> {
  const rows: string[][] = []
  for (const digests of [100_000, 500_000]) {
    const bytes = policyText(digests)
    const { longest, wall } = await longestTurn(() => judging.readPolicy({ kind: 'runtime', bytes }))
    rows.push([digests.toLocaleString('en'), `${(wall / 1000).toFixed(1)} s`, ms(longest)])
  }
  printTable('policies read in a worker', ['digests', 'time', 'longest turn of the main loop, ms'], rows)
}
