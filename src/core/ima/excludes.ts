import { RE2JS } from 're2js'
import { KeylimeError } from '../errors.ts'
import { hiddenSteps, isUncertain, regexDefect, translatePythonRegex } from './python-regex.ts'

/** Whether a name is excluded from the runtime policy. */
export interface Excludes {
  (name: string): boolean
  /** Steps of RE2's program: a character of a name may cost so many. */
  readonly steps: number
  /** What making the program has cost, in steps of about ten microseconds. */
  readonly toMake: number
}

const MAX_LENGTH = 4096
const MAX_COUNT = 10_000
/** Steps of RE2's program, of all expressions together: a character of a name costs at most so many. */
const MAX_STEPS = 300_000
const ASCII = /^[\0-\x7f]*$/
const NONE: Excludes = Object.assign(() => false, { steps: 0, toMake: 0 })

/**
 * One matcher for all expressions, anchored at the start and not at the end, as upstream; in time linear in the name, whatever the expressions.
 * @throws KeylimeError `invalid_request` naming the JSON path of a bad one: none is ever dropped in silence (policies A.8).
 */
export function compileExcludes(expressions: readonly string[], where: string): Excludes {
  if (expressions.length === 0) return NONE
  if (expressions.length > MAX_COUNT) throw new KeylimeError('invalid_request', `${where}: has over ${MAX_COUNT} expressions`)
  let steps = 0
  let hidden = 0
  const translated = expressions.map((text, i) => {
    if (text.length > MAX_LENGTH) throw new KeylimeError('invalid_request', `${where}[${i}]: is longer than ${MAX_LENGTH} characters`)
    try {
      const pattern = `(?:${translatePythonRegex(text)})`
      hidden += hiddenSteps(text)
      if (hidden <= MAX_STEPS) steps += RE2JS.compile(pattern).programSize()
      if (hidden + steps > MAX_STEPS) throw new Error('the expressions up to this one are too large to be matched in good time')
      return pattern
    } catch (cause) {
      throw new KeylimeError('invalid_request', `${where}[${i}]: ${JSON.stringify(text.slice(0, 80))}: ${regexDefect(text, cause)}`, {
        cause,
      })
    }
  })
  const costs = { steps, toMake: steps + hidden }
  const all = anyOf(translated)
  const certain = translated.filter((_, i) => !isUncertain(expressions[i]!, 'é'))
  if (certain.length === translated.length) return Object.assign((name: string) => all.test(name), costs)
  const ofOthers = certain.length === 0 ? null : anyOf(certain)
  return Object.assign((name: string) => (ASCII.test(name) ? all : ofOthers)?.test(name) ?? false, costs)
}

const anyOf = (patterns: readonly string[]): RE2JS => RE2JS.compile(`^(?:${patterns.join('|')})`)
