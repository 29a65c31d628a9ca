import { place } from '../../../core/audit/chain-break.ts'
import type { ChainReport } from '../../../core/audit/verify-chain.ts'
import { printable } from '../../../core/printable.ts'

/** For a terminal: each break, what else is to be known, and the outcome in the last line. */
export function reportLines(report: ChainReport, remembered: string | null): string[] {
  const { breaks, furtherBreaks, head, first } = report
  const span = first && head ? `${counted(report.lines, 'line')} from ${first.time} to ${head.time}` : '0 lines'
  return [
    ...breaks.map((b) => `broken: ${place(b)}${b.seq === null ? '' : ` (number ${b.seq})`}: ${b.text}`),
    ...(furtherBreaks > 0 ? [`broken: in ${counted(furtherBreaks, 'more place')}`] : []),
    ...notes(report).map((note) => `note: ${note}`),
    ...(head ? [`chain: ${report.chain ?? 'unknown'}`, `head: ${head.hash} (number ${head.seq})`] : []),
    ...(report.intact ? [`${span}: the chain holds${rememberedText(report, remembered)}`] : [`${span}: THE CHAIN IS BROKEN`]),
  ].map(printable)
}

function notes({ follows, lost, incomplete, clockSetBack }: ChainReport): string[] {
  return [
    ...(follows ? [`the first line follows one in an older file, which was not shown: ${follows}`] : []),
    ...(lost > 0 ? [`${counted(lost, 'event')} could not be written, as the log itself says`] : []),
    ...(incomplete > 0
      ? [`a crash or a full disk left an incomplete line in ${counted(incomplete, 'place')}, as the log itself says`]
      : []),
    ...(clockSetBack > 0 ? [`the clock was set back before ${counted(clockSetBack, 'line')}`] : []),
  ]
}

function rememberedText({ sinceRemembered }: ChainReport, remembered: string | null): string {
  if (remembered === null) return '; whether the end was cut off shows only against a head that was remembered (--head)'
  return `, and ${counted(sinceRemembered ?? 0, 'line')} came after the head that was remembered`
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

/** For `--json`. */
export function reportJson(files: readonly string[], report: ChainReport): Record<string, unknown> {
  return {
    intact: report.intact,
    files,
    lines: report.lines,
    chain: report.chain,
    first: report.first,
    head: report.head,
    follows: report.follows,
    since_remembered: report.sinceRemembered,
    lost_events: report.lost,
    incomplete_lines: report.incomplete,
    clock_set_back: report.clockSetBack,
    breaks: report.breaks,
    further_breaks: report.furtherBreaks,
  }
}
