import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { bundleTarget } from './bundle.ts'
import { corpusOf, findingsOf, inputsIn, packCorpus, unpackInputs } from './corpus.ts'
import { CACHE, findingsPlace, PROJECT, prepareJazzer } from './debian13.ts'
import { type FuzzedTarget, reasonIn } from './fuzzed-target.ts'
import { runFuzzer } from './fuzzer-run.ts'
import { FINDINGS_VARIABLE } from './keep-input.ts'
import { TARGETS } from './targets.ts'

const JAZZER = path.join(PROJECT, 'node_modules/@jazzer.js/core/dist/cli.js')
const MAX_BYTES = 4096
const MEMORY_MB = 3072
/** Seconds for one input: what takes longer is a finding, too. */
const INPUT_SECONDS = 20

let inside: ((command: readonly string[]) => string[]) | undefined

/** @throws Error that says what is missing. */
export function prepareTargets(): void {
  inside ??= prepareJazzer()
}

/** Fuzzes one target for some seconds, from its seeds and everything that was kept; ends at its first finding. */
export async function fuzzTarget(name: string, seconds: number): Promise<FuzzedTarget> {
  const target = TARGETS[name]!
  const [corpus, findings] = [filledCorpus(name), findingsPlace(name)]
  const before = new Set(inputsIn(findings).map(({ name: file }) => file))
  const words = path.join(CACHE, 'bundles', `${name}.words`)
  mkdirSync(path.dirname(words), { recursive: true })
  writeFileSync(words, (target.words ?? []).map(dictionaryLine).join(''))
  const run = await runFuzzer(
    await jazzer(
      name,
      [corpus],
      [
        `-max_total_time=${seconds}`,
        `-max_len=${target.maxBytes ?? MAX_BYTES}`,
        `-dict=${words}`,
        `-artifact_prefix=${findings}/`,
        ...['-print_final_stats=1', '-use_value_profile=1', '-reload=0'],
      ],
    ),
    { [FINDINGS_VARIABLE]: findings },
  )
  const fresh = inputsIn(findings).filter(({ name: file }) => !before.has(file))
  return {
    ...run,
    finding: run.exit === 0 ? '' : `${fresh.map(({ name: file }) => path.join(findings, file)).join('\n')}\n${reasonIn(run.output)}`,
  }
}

/** Keeps the smallest set of inputs that reaches what the corpus reaches. */
export async function keepCorpus(name: string): Promise<void> {
  prepareTargets()
  const merged = mkdtempSync(path.join(CACHE, 'merge-'))
  try {
    const options = ['-merge=1', `-max_len=${MAX_BYTES}`, `-artifact_prefix=${findingsPlace(name)}/`]
    const run = await runFuzzer(await jazzer(name, [merged, filledCorpus(name)], options), {})
    if (run.exit !== 0) throw new Error(`the corpus of ${name} cannot be merged:\n${run.output.slice(-2000)}`)
    packCorpus(
      name,
      inputsIn(merged).map(({ input }) => input),
    )
  } finally {
    rmSync(merged, { recursive: true })
  }
}

/** The working corpus: what earlier runs found, the seeds, and everything that was kept. */
function filledCorpus(name: string): string {
  const corpus = path.join(CACHE, 'corpus', name)
  unpackInputs([...TARGETS[name]!.seeds(), ...[...corpusOf(name), ...findingsOf(name)].map(({ input }) => input)], corpus)
  return corpus
}

async function jazzer(name: string, corpora: readonly string[], options: readonly string[]): Promise<string[]> {
  const bundle = path.join(CACHE, 'bundles', `${name}.cjs`)
  await bundleTarget(name, bundle)
  const isSync = !isAsync(readFileSync(path.join(import.meta.dirname, 'targets', `${name}.ts`), 'utf8'))
  const command = [
    process.execPath,
    JAZZER,
    bundle,
    ...corpora,
    '-i',
    path.join(CACHE, 'bundles'),
    '--timeout',
    String(INPUT_SECONDS * 1000),
    ...(isSync ? ['--sync'] : []),
  ]
  return inside!([...command, '--', `-rss_limit_mb=${MEMORY_MB}`, ...options])
}

/** jazzer must be told; its way of waiting for a promise takes several times as long. */
const isAsync = (source: string): boolean => /run: async|async run/.test(source)

const dictionaryLine = (word: string): string =>
  `"${[...Buffer.from(word, 'latin1')].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"\n`
