import { RE2JS } from 're2js'
import { KeylimeError } from '../../errors.ts'
import { hiddenSteps, isUncertain, regexDefect, translatePythonRegex } from '../python-regex.ts'

/** What a value must be: anything, one truth value, one number, or a text that matches whole. Says also what is expected, for messages. */
export interface DmAttribute {
  accepts(value: string | undefined): boolean
  expected: unknown
  /** What making its expression has cost, as `Excludes.toMake`; absent without one. */
  toMake?: number
}

export interface DmRule {
  name: string
  allowClear: boolean
  allowRemoval: boolean
  allowMultipleLoads: boolean
  newName: DmAttribute
  newUuid: DmAttribute
  /** `name uuid major minor minor_count num_targets` of the device. */
  device: ReadonlyMap<string, DmAttribute>
  targetCount: number
  targets: readonly ReadonlyMap<string, DmAttribute>[]
}

/** `ima.dm_policy` of a runtime policy (policies A.14). */
export interface DmPolicy {
  matchOn: 'name' | 'uuid'
  rules: readonly DmRule[]
  /** The JSON that it was read from. */
  source: unknown
  /** What making its expressions has cost, as `Excludes.toMake`. */
  toMake: number
}

const DEVICE_FIELDS = ['name', 'uuid', 'major', 'minor', 'minor_count', 'num_targets']
const MAX_RULES = 1000
const MAX_TARGETS = 256
const YES = new Set(['y', 'yes', 't', 'true', 'on', '1'])
const NO = new Set(['n', 'no', 'f', 'false', 'off', '0'])

/** Checks the policy whole. @throws KeylimeError `invalid_request` whose message begins with the JSON path. */
export function parseDmPolicy(value: unknown, path: string): DmPolicy {
  const policy = object(value, path)
  if ('version' in policy && policy['version'] !== 1) throw bad(`${path}.version`, 'must be 1')
  const matchOn = policy['match_on']
  if (matchOn !== 'name' && matchOn !== 'uuid') throw bad(`${path}.match_on`, 'must be "name" or "uuid"')
  const rules = Object.entries(object(policy['rules'], `${path}.rules`))
  if (rules.length > MAX_RULES) throw bad(`${path}.rules`, `has ${rules.length} rules, at most ${MAX_RULES} are accepted`)
  const parsed = rules.map(([name, rule]) => parseRule(name, rule, `${path}.rules[${JSON.stringify(name.slice(0, 80))}]`))
  const attributes = parsed.flatMap((rule) => [
    rule.newName,
    rule.newUuid,
    ...[rule.device, ...rule.targets].flatMap((fields) => [...fields.values()]),
  ])
  return { source: value, matchOn, rules: parsed, toMake: attributes.reduce((sum, { toMake = 0 }) => sum + toMake, 0) }
}

function parseRule(name: string, value: unknown, path: string): DmRule {
  const rule = object(value, path)
  const rename = object(rule['device_rename'], `${path}.device_rename`)
  const load = object(rule['table_load'], `${path}.table_load`)
  const targets = load['targets']
  for (const member of ['required', 'device_resume_required']) truth(rule[member], `${path}.${member}`) // upstream reads them, and judges nothing by them
  if (!Array.isArray(targets) || targets.length > MAX_TARGETS)
    throw bad(`${path}.table_load.targets`, `must be a list of at most ${MAX_TARGETS} targets`)
  const targetCount = load['num_targets']
  if (typeof targetCount !== 'number' || targetCount !== targets.length)
    throw bad(`${path}.table_load.num_targets`, `must be the number of targets, ${targets.length}`)
  const attributes = (source: Record<string, unknown>, at: string, names: readonly string[]) =>
    new Map(names.map((key) => [key, attribute(source[key], `${at}.${key}`)]))
  return {
    name,
    allowClear: truth(rule['allow_clear'], `${path}.allow_clear`),
    allowRemoval: truth(object(rule['device_remove'], `${path}.device_remove`)['allow_removal'], `${path}.device_remove.allow_removal`),
    allowMultipleLoads: truth(load['allow_multiple_loads'], `${path}.table_load.allow_multiple_loads`),
    newName: attribute(rename['valid_name'], `${path}.device_rename.valid_name`),
    newUuid: attribute(rename['valid_uuid'], `${path}.device_rename.valid_uuid`),
    device: attributes(load, `${path}.table_load`, DEVICE_FIELDS),
    targetCount,
    targets: targets.map((target, i) => {
      const at = `${path}.table_load.targets[${i}]`
      const source = object(target, at)
      return attributes(source, at, Object.keys(source))
    }),
  }
}

function attribute(value: unknown, path: string): DmAttribute {
  if (value === null || value === undefined) return { accepts: () => true, expected: null }
  if (typeof value === 'boolean') return { accepts: (text) => (value ? YES : NO).has((text ?? '').toLowerCase()), expected: value }
  if (typeof value === 'number' && Number.isSafeInteger(value))
    return { accepts: (text) => text !== undefined && /^-?\d{1,15}$/.test(text) && Number(text) === value, expected: value }
  if (typeof value !== 'string') throw bad(path, 'must be null, true, false, a whole number or a regular expression')
  const expression = compile(value, path)
  return {
    accepts: (text) => text !== undefined && !isUncertain(value, text) && expression.matches(text),
    expected: value,
    toMake: hiddenSteps(value) + expression.programSize(),
  }
}

function compile(value: string, path: string): RE2JS {
  try {
    return RE2JS.compile(translatePythonRegex(value))
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${path}: ${JSON.stringify(value.slice(0, 80))}: ${regexDefect(value, cause)}`, { cause })
  }
}

const bad = (path: string, what: string) => new KeylimeError('invalid_request', `${path}: ${what}`)

function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad(path, value === undefined ? 'is missing' : 'is not an object')
  return value as Record<string, unknown>
}

function truth(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw bad(path, 'must be true or false')
  return value
}
