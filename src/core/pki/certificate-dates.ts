import type { Certificate } from './types.ts'

/** `error`: it cannot be used now. `warning`: soon it cannot. */
export interface DateProblem {
  readonly level: 'error' | 'warning'
  /** Without a subject: `ended on 2026-01-31`. */
  readonly text: string
}

const DAY_MS = 86_400_000
const SOON_DAYS = 30

/** Two thirds of its life are over: what this program made is made anew. */
export const isDue = ({ notBefore, notAfter }: Pick<Certificate, 'notBefore' | 'notAfter'>, now: number): boolean =>
  now >= notBefore + ((notAfter - notBefore) * 2) / 3

/** What is wrong with the dates of a certificate at `now` (milliseconds since the epoch); undefined when it is good for another 30 days. */
export function dateProblem({ notBefore, notAfter }: Pick<Certificate, 'notBefore' | 'notAfter'>, now: number): DateProblem | undefined {
  if (now > notAfter) return { level: 'error', text: `ended on ${day(notAfter)}` }
  if (now < notBefore)
    return {
      level: 'error',
      text: `is not valid before ${new Date(notBefore).toISOString()}; is the clock right? here it says ${new Date(now).toISOString()}`,
    }
  const days = Math.floor((notAfter - now) / DAY_MS)
  if (days > SOON_DAYS) return undefined
  return {
    level: 'warning',
    text: `ends on ${day(notAfter)}, ${days === 0 ? 'within a day' : days === 1 ? 'in 1 day' : `in ${days} days`}`,
  }
}

const day = (time: number) => new Date(time).toISOString().slice(0, 10)
