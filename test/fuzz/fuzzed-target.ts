import type { FuzzerRun } from './fuzzer-run.ts'

/** A run, and what was wrong. */
export interface FuzzedTarget extends FuzzerRun {
  /** Empty without a finding. */
  finding: string
}

const LINES = 14

/** What was thrown or seen, from a fuzzer's output. */
export function reasonIn(output: string): string {
  const at = output.search(/==\d+== ?Uncaught|Uncaught Exception|runtime error|==\d+==ERROR|ERROR: libFuzzer/)
  return output
    .slice(at < 0 ? -2000 : at)
    .split('\n')
    .slice(0, LINES)
    .join('\n')
}
