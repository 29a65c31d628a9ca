import type { Examined } from './examine.ts'
import type { Finding, Level } from './finding.ts'

const WORDS: Readonly<Record<Level, string>> = { ok: 'ok     ', note: 'note   ', warning: 'warning', error: 'ERROR  ' }

/** For people: one line a finding; below a warning or an error what it means, and the command that fixes it. */
export const findingLines = ({ role, findings }: Examined): string[] => [`${role}:`, ...findings.flatMap(linesOf)]

function linesOf({ level, check, what, means, fix }: Finding): string[] {
  const line = `  ${WORDS[level]} ${check}: ${what.replaceAll('\n', ' ')}`
  if (level === 'ok') return [line]
  if (level === 'note') return [`${line} (${means}${fix === null ? '' : `: ${fix}`})`]
  return [line, `            ${means}`, ...(fix === null ? [] : [`            $ ${fix}`])]
}

/** `2 errors, 1 warning`, or that all is well. */
export function summaryLine(findings: readonly Finding[]): string {
  const counted = (level: Level, word: string) => {
    const count = findings.filter((finding) => finding.level === level).length
    return count === 0 ? [] : [`${count} ${word}${count === 1 ? '' : 's'}`]
  }
  const text = [...counted('error', 'error'), ...counted('warning', 'warning')].join(', ')
  return text === '' ? 'nothing is wrong' : text
}
