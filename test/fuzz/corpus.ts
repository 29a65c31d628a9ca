import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const VECTORS = path.resolve(import.meta.dirname, '../vectors/fuzz')
/** Longer inputs cost every later test run more than they find. */
const MAX_KEPT_INPUT = 2048
const MAX_KEPT_BYTES = 48 << 10

/** Where the packed corpus of a target is: an input a line, base64. */
export const corpusFile = (target: string): string => path.join(VECTORS, 'corpus', `${target}.txt`)

/** Where the findings of a target are, a file each, named for what was wrong. */
export const findingsDirectory = (target: string): string => path.join(VECTORS, 'findings', target)

export interface NamedInput {
  name: string
  input: Buffer
}

/** What fuzzing found interesting so far. */
export function corpusOf(target: string): NamedInput[] {
  const file = corpusFile(target)
  const lines = existsSync(file) ? readFileSync(file, 'latin1').split('\n') : []
  return lines.flatMap((line, i) =>
    line === '' && i === lines.length - 1 ? [] : [{ name: `line ${i + 1}`, input: Buffer.from(line, 'base64') }],
  )
}

/** Inputs that were once handled wrongly. */
export const findingsOf = (target: string): NamedInput[] => inputsIn(findingsDirectory(target))

/** The files of a directory; none when it is not there. */
export function inputsIn(directory: string): NamedInput[] {
  if (!existsSync(directory)) return []
  const files = readdirSync(directory).sort()
  return files.map((name) => ({ name, input: readFileSync(path.join(directory, name)) }))
}

/** Writes inputs as files that libFuzzer reads, each once. */
export function unpackInputs(inputs: readonly Uint8Array[], directory: string): void {
  mkdirSync(directory, { recursive: true })
  for (const input of inputs) writeFileSync(path.join(directory, createHash('sha1').update(input).digest('hex')), input)
}

/** Keeps inputs in the repository, the shortest first, as far as they have room. */
export function packCorpus(target: string, inputs: readonly Buffer[]): void {
  const lines: string[] = []
  let room = MAX_KEPT_BYTES
  const inOrder = inputs.toSorted((a, b) => a.length - b.length || Buffer.compare(a, b))
  for (const input of inOrder.filter(({ length }) => length > 0 && length <= MAX_KEPT_INPUT)) {
    const line = input.toString('base64')
    room -= line.length + 1
    if (room < 0) break
    lines.push(line)
  }
  mkdirSync(path.dirname(corpusFile(target)), { recursive: true })
  writeFileSync(corpusFile(target), lines.map((line) => `${line}\n`).join(''))
}
