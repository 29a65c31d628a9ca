import type { Golden } from './golden.ts'
import { Machine } from './machine.ts'
import type { Operator } from './operator.ts'
import type { Report } from './report.ts'

/** What every part works with. */
export interface Bench {
  golden: Golden
  operator: Operator
  report: Report
}

/** A machine under test, and its agent. */
export interface Subject {
  machine: Machine
  id: string
}

/** A copy of the frozen first machine, running; nobody has enrolled it. */
export const first = (bench: Bench) => running(bench, 'one', bench.golden.first)

/** The same of the second, which has another TPM. */
export const second = (bench: Bench) => running(bench, 'two', bench.golden.second)

/** A copy of the installed machine that boots with changes. Its agent comes by itself. */
export const booted = (bench: Bench, ...changes: (readonly [verb: string, ...args: string[]])[]) =>
  running(bench, 'one', bench.golden.installed, ...changes)

async function running(
  { operator }: Bench,
  name: string,
  original: Machine,
  ...changes: (readonly [string, ...string[]])[]
): Promise<Subject> {
  const machine = new Machine(name)
  await machine.startAs(original, ...changes)
  const id = await machine.agentServes()
  await operator.forget(id)
  return { machine, id }
}

/** `keylime tenant add` with the golden policies. @returns exit code and what it said. */
export function enrol({ golden, operator }: Bench, { machine, id }: Subject, payload: string, ...more: string[]) {
  const target = ['-t', '127.0.0.1', '--targetport', String(machine.ports.agent), '-u', id]
  const policies = ['--runtime-policy', golden.record.runtimePolicy, '--mb-policy', golden.record.bootPolicy]
  return operator.keylime('tenant', 'add', ...target, '--cert', 'ca', '--include', payload, ...policies, '--timeout', '180', ...more)
}

export async function accepted(bench: Bench, subject: Subject, payload: string, ...more: string[]): Promise<void> {
  const { code, stderr } = await enrol(bench, subject, payload, ...more)
  if (code !== 0) throw new Error(`not accepted (exit ${code}): ${stderr.trim()}`)
}

/** @throws unless `text` has all of it. @returns the first line that has the first of them. */
export function expectWords(text: string, ...words: (string | RegExp)[]): string {
  const has = (line: string, word: string | RegExp) => (typeof word === 'string' ? line.includes(word) : word.test(line))
  for (const word of words) if (!has(text, word)) throw new Error(`expected ${word} in: ${text}`)
  return (
    text
      .split('\n')
      .find((line) => has(line, words[0]!))
      ?.trim() ?? ''
  )
}
