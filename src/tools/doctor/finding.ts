import { type ErrorCode, exitCodeOf } from '../../core/errors.ts'

/** `error`: it keeps the role from its work. `warning`: soon it will, or part of it does not work. `note`: good to know. */
export type Level = 'ok' | 'note' | 'warning' | 'error'

/** One thing that a check has seen. Neither text nor command holds a secret. */
export interface Finding {
  /** The name of the check, such as `ports`. */
  readonly check: CheckName
  readonly level: Level
  /** What was seen, naming file, address or option. */
  readonly what: string
  /** What follows from it for the operator. */
  readonly means: string
  /** The command that fixes it, if one does. */
  readonly fix: string | null
}

export const CHECK_NAMES = [
  'configuration',
  'certificates',
  'service',
  'ports',
  'peers',
  'database',
  'disk',
  'tpm',
  'measurements',
] as const

export type CheckName = (typeof CHECK_NAMES)[number]

/** Makes the findings of one check. */
export const findingsOf = (check: CheckName) => ({
  ok: (what: string, means: string): Finding => ({ check, level: 'ok', what, means, fix: null }),
  note: (what: string, means: string, fix: string | null = null): Finding => ({ check, level: 'note', what, means, fix }),
  warning: (what: string, means: string, fix: string | null = null): Finding => ({ check, level: 'warning', what, means, fix }),
  error: (what: string, means: string, fix: string | null = null): Finding => ({ check, level: 'error', what, means, fix }),
})

/** Which failure of other commands an error of a check is; 1 for the rest. */
const CODES: Partial<Record<CheckName, ErrorCode>> = { configuration: 'config_invalid', peers: 'unreachable' }

/** 0 without an error, else the exit code that all errors have in common, else 1. */
export function exitCodeOfFindings(findings: readonly Finding[]): number {
  const errors = findings.filter(({ level }) => level === 'error')
  const codes = new Set(errors.map(({ check }) => (CODES[check] ? exitCodeOf(CODES[check]) : 1)))
  if (codes.size === 0) return 0
  return codes.size === 1 ? [...codes][0]! : 1
}
