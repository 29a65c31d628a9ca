import { KeylimeError } from '../errors.ts'

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The time that a person means: so long ago, or a time in the form of ISO 8601. @returns milliseconds since the epoch. @throws KeylimeError `usage`. */
export function sinceTime(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count && unit) return now - Number(count) * UNITS[unit]!
  const time = /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time))
    throw new KeylimeError('usage', `"${text}" is not a time`, { hint: 'such as 90s, 30m, 2h, 7d, 2026-11-28 or 2026-11-28T08:00Z' })
  return time
}
