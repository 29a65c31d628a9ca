import { setTimeout as sleep } from 'node:timers/promises'
import { type ChainReport, createChainVerifier } from '../../../core/audit/verify-chain.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { readLines, STANDARD_INPUT } from '../../../io/audit/read-lines.ts'
import { printJson, printLines } from '../../../io/terminal/print.ts'
import { auditFiles } from './configured-files.ts'
import { reportJson, reportLines } from './render-report.ts'

export interface VerifyArguments {
  files?: string[] | undefined
  head?: string | undefined
  config?: string | undefined
  json?: boolean | undefined
}

const TRIES = 3
const PAUSE_MS = 200

/** `keylime verifier audit verify`. @returns 0 for a chain that holds, 1 for one that does not. */
export async function verifyAudit(argv: VerifyArguments): Promise<number> {
  const head = argv.head?.toLowerCase() ?? null
  if (head !== null && !/^[0-9a-f]{64}$/.test(head))
    throw new KeylimeError('usage', 'a head is a SHA-256 in 64 hexadecimal digits', { hint: '`keylime verifier audit verify` prints it' })
  const files = await auditFiles(argv.files, argv.config)
  const report = await settledReport(files, head)
  if (argv.json) printJson(reportJson(files, report))
  else printLines(reportLines(report, head))
  return report.intact ? 0 : 1
}

/** A verifier may just be writing a line: an end that is not whole is looked at again. */
async function settledReport(files: readonly string[], head: string | null): Promise<ChainReport> {
  for (let left = TRIES; ; left--) {
    const report = await chainReport(files, head)
    if (left === 1 || files.includes(STANDARD_INPUT) || !report.breaks.some(({ kind }) => kind === 'cut')) return report
    await sleep(PAUSE_MS)
  }
}

async function chainReport(files: readonly string[], head: string | null): Promise<ChainReport> {
  const verifier = createChainVerifier(head)
  for (const file of files) {
    let line = 0
    for await (const bytes of readLines(file)) verifier.line({ file, line: ++line }, bytes)
  }
  return verifier.report()
}
