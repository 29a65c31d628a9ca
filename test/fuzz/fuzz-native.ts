import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { spkiOf } from '../../src/core/spki.ts'
import { parsePublicArea } from '../../src/core/tpm/public-area.ts'
import { machineFile } from '../machines.ts'
import { corpusOf, findingsOf, inputsIn, packCorpus, unpackInputs } from './corpus.ts'
import { CACHE, findingsPlace, needPrograms, PROJECT } from './debian13.ts'
import { type FuzzedTarget, reasonIn } from './fuzzed-target.ts'
import { runFuzzer } from './fuzzer-run.ts'

interface NativeTarget {
  /** Sources beside the harness. */
  libraries: readonly string[]
  seeds: () => readonly Uint8Array[]
}

const B = Buffer.from
const chosen = (first: number, bytes: Uint8Array) => Buffer.concat([Buffer.from([first]), bytes])

/** Parts of the addon that read bytes and know nothing of JavaScript. */
const PARTS: Readonly<Record<string, NativeTarget>> = {
  'native-pcr-replay': {
    libraries: ['-lcrypto'],
    seeds: () => [0, 1, 2, 3].map((hash) => B([hash, 1, 0, 5, 1, 2, 3, 4, 5, 255, 0])),
  },
  'native-digest-key': {
    libraries: ['-lcrypto'],
    seeds: () => [
      chosen(0, B('3006020101020101', 'hex')),
      chosen(1, Buffer.alloc(256, 1)),
      ...['quote-ecc', 'secure-boot-ima-ng'].map((machine) => chosen(2, spkiOf(parsePublicArea(machineFile(machine, 'ak.pub')).key))),
    ],
  },
  'native-marshal': {
    libraries: ['-ltss2-mu'],
    seeds: () => [
      ...['ak.pub', 'ek.pub'].map((file) => chosen(0, machineFile('secure-boot-ima-ng', file))),
      chosen(0, machineFile('quote-ecc', 'ak.pub')),
      chosen(1, B('000401020304', 'hex')),
      chosen(2, B('00000001000b03ffff00', 'hex')),
      chosen(3, B('00000000000000014000000140000007000401020304', 'hex')),
      chosen(4, B('000400000000', 'hex')),
      chosen(5, B(`00000001000b${'11'.repeat(32)}`, 'hex')),
      chosen(6, B('0014000b', 'hex')),
      chosen(7, Buffer.alloc(64)),
    ],
  },
  'native-transport': {
    libraries: [],
    seeds: () => [
      chosen(0, B('80010000000e0000000000021122', 'hex')),
      chosen(0, B('80010000000a000001009900', 'hex')),
      ...['device:/dev/tpm0', 'device', 'swtpm:host=h,port=1', 'swtpm:path=/x', 'other:'].map((text) => chosen(1, B(text))),
    ],
  },
}

export const NATIVE_TARGETS: readonly string[] = Object.keys(PARTS)

/** Memory and behaviour that C++ leaves undefined end the process, as a broken promise does. */
const FLAGS = ['-std=c++17', '-g', '-O1', '-Wall', '-Wextra', '-fno-omit-frame-pointer', '-fno-sanitize-recover=undefined']
const SANITIZERS = '-fsanitize=fuzzer,address,undefined'
const MAX_BYTES = 4096

/** Fuzzes one part of the addon for some seconds; ends at its first finding. @throws Error that says what is missing. */
export async function fuzzNative(name: string, seconds: number): Promise<FuzzedTarget> {
  const options = [
    `-max_total_time=${seconds}`,
    `-max_len=${MAX_BYTES}`,
    `-artifact_prefix=${findingsPlace(name)}/`,
    '-print_final_stats=1',
    '-use_value_profile=1',
    '-timeout=20',
  ]
  const run = await runFuzzer([compile(name), filledCorpus(name), ...options], {})
  return { ...run, finding: run.exit === 0 ? '' : reasonIn(run.output) }
}

/** Keeps the smallest set of inputs that reaches what the corpus reaches. */
export async function keepNativeCorpus(name: string): Promise<void> {
  const merged = path.join(CACHE, 'merged', name)
  rmSync(merged, { recursive: true, force: true })
  mkdirSync(merged, { recursive: true })
  await runFuzzer([compile(name), '-merge=1', `-artifact_prefix=${findingsPlace(name)}/`, merged, filledCorpus(name)], {})
  packCorpus(
    name,
    inputsIn(merged).map(({ input }) => input),
  )
}

function filledCorpus(name: string): string {
  const corpus = path.join(CACHE, 'corpus', name)
  unpackInputs([...PARTS[name]!.seeds(), ...[...corpusOf(name), ...findingsOf(name)].map(({ input }) => input)], corpus)
  return corpus
}

/** Compilers of Debian keep libFuzzer and the sanitizers in a package of their release. */
function needCompiler(): void {
  needPrograms({ 'clang++': 'clang', '/usr/include/tss2/tss2_mu.h': 'libtss2-dev', '/usr/include/openssl/evp.h': 'libssl-dev' })
  const said = (question: string) => execFileSync('clang++', [question], { encoding: 'utf8' }).trim()
  const release = said('-dumpversion').split('.')[0]
  needPrograms({ [path.join(said('-print-resource-dir'), 'lib/linux/libclang_rt.fuzzer-x86_64.a')]: `libclang-rt-${release}-dev` })
}

function compile(name: string): string {
  needCompiler()
  const program = path.join(CACHE, 'bundles', name)
  mkdirSync(path.dirname(program), { recursive: true })
  const source = path.join(import.meta.dirname, 'native', `${name.replace(/^native-/, '')}.cc`)
  const command = [...FLAGS, SANITIZERS, '-I', path.join(PROJECT, 'native'), source, '-o', program, ...PARTS[name]!.libraries]
  execFileSync('clang++', command, { stdio: ['ignore', 'ignore', 'inherit'] })
  return program
}
