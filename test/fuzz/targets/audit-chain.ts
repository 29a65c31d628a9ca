import { asciiJson, BEFORE_THE_FIRST, nextLine, readAuditLine } from '../../../src/core/audit/audit-line.ts'
import { createChainVerifier } from '../../../src/core/audit/verify-chain.ts'
import { demand, type Target, text } from '../target.ts'

const BEGUN = { type: 'audit_begun', chain: 'ab' }
const MAX_LINES = 2000
const LINES = chain(['a', 'b', 'c', 'd'])

/** Audit logs: a chain that was changed in any byte but its last line's is never called intact, and any event can be written. */
export const auditChain: Target = {
  seeds: () => [text(...LINES), text(...LINES.slice(0, 2)), text(LINES[0]!, ''), text(...LINES.slice(1)), text('\x7f\u2028\x1b[31m é')],
  words: ['{"seq":', '"time":"', '"previous":"', '"event":', '"type":"', '\n', '0'.repeat(64)],
  run(input) {
    const lines = input
      .toString('latin1')
      .split('\n')
      .map((line) => Buffer.from(line, 'latin1'))
    if (lines.length > MAX_LINES) return // time is linear in their number, but a line that is no JSON costs as much as a kilobyte
    const verifier = createChainVerifier()
    for (const [i, line] of lines.entries()) verifier.line({ file: 'log', line: i + 1 } as never, line)
    const report = verifier.report()
    const last = LINES.at(-1)!
    // with the head that somebody remembered, nothing of our chain can be another
    if (report.intact && report.lines === LINES.length && lines.at(-1)!.toString() === last)
      demand(input.equals(text(...LINES)), 'a changed chain is intact')
    for (const line of lines) readAuditLine(line)
    const written = chain([input.toString('utf8')])
    const fresh = createChainVerifier()
    for (const [i, line] of written.entries()) fresh.line({ file: 'log', line: i + 1 } as never, Buffer.from(line))
    demand(fresh.report().intact && written.every((line) => /^[\x20-\x7e]*$/.test(line)), 'an event breaks the chain that it is written to')
  },
}

function chain(texts: readonly string[]): string[] {
  let head = BEFORE_THE_FIRST
  return [BEGUN, ...texts.map((one) => ({ type: 'test', text: one }))].map((event, i) => {
    const next = nextLine(head, 1_700_000_000_000 + i, asciiJson(event))
    head = next.head
    return next.line
  })
}
