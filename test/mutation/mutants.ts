import { stripTypeScriptTypes } from 'node:module'
import { parse } from '@babel/parser'

/** One small fault of a source file. */
export interface Mutant {
  readonly start: number
  readonly end: number
  readonly from: string
  readonly to: string
  /** 1-based. */
  readonly line: number
  /** The line as it stands there, without what is around it. */
  readonly code: string
  /** How many that look the same stand before it in the file. */
  readonly nth: number
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  // biome-ignore lint/suspicious/noExplicitAny: members differ from type to type
  readonly [member: string]: any
}

const OPERATORS: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '%': '*',
  '&': '|',
  '|': '&',
  '<<': '>>',
  '>>': '<<',
  '>>>': '<<',
  '&&': '||',
  '||': '&&',
}
const METHODS: Readonly<Record<string, string>> = { some: 'every', every: 'some', min: 'max', max: 'min' }

/**
 * Every mutant of a TypeScript source: what stands behind an `if` left out, choices turned round, operators exchanged, limits moved, statements that only call or throw dropped, truths turned
 * over, numbers moved by one, words emptied, ends of patterns let go. Texts for people are left alone: they hold no decision.
 */
export function mutantsOf(source: string): Mutant[] {
  const javascript = stripTypeScriptTypes(source) // positions stay
  const { program } = parse(javascript, { sourceType: 'module' })
  const lineStarts = [0, ...[...source.matchAll(/\n/g)].map(({ index }) => index + 1)]
  const found: Omit<Mutant, 'nth'>[] = []
  const add = (start: number, end: number, to: string) => {
    const line = lineStarts.findLastIndex((at) => at <= start) + 1
    const lineEnd = source.indexOf('\n', start)
    const code = source.slice(lineStarts[line - 1], lineEnd < 0 ? undefined : lineEnd).trim()
    found.push({ start, end, from: source.slice(start, end), to, line, code })
  }
  walk(program as never, null, (node, parent) => mutate(node, parent, source, add))
  const seen = new Map<string, number>()
  return found
    .sort((a, b) => a.start - b.start || a.end - b.end)
    .map((mutant) => {
      const look = JSON.stringify([mutant.code, mutant.from, mutant.to])
      const nth = seen.get(look) ?? 0
      seen.set(look, nth + 1)
      return { ...mutant, nth }
    })
}

export const applied = (source: string, { start, end, to }: Mutant): string => source.slice(0, start) + to + source.slice(end)

type Add = (start: number, end: number, to: string) => void

function mutate(node: Node, parent: Node | null, source: string, add: Add): void {
  const mutator = MUTATORS[node.type]
  if (mutator) mutator(node, add, { parent, source })
}

interface Around {
  readonly parent: Node | null
  readonly source: string
}

const never = ({ test }: Node, add: Add) => add(test.start, test.end, 'false')
const dropped = (node: Node, add: Add) => add(node.start, node.end, ';')

const MUTATORS: Readonly<Record<string, (node: Node, add: Add, around: Around) => void>> = {
  IfStatement: never,
  WhileStatement: never,
  ThrowStatement: dropped,
  BinaryExpression: exchange,
  LogicalExpression: exchange,
  RegExpLiteral: letGo,
  MemberExpression: exchangeMethod,
  BooleanLiteral: (node, add) => add(node.start, node.end, String(!node['value'])),
  NumericLiteral: (node, add) => add(node.start, node.end, String(node['value'] + 1)),
  ConditionalExpression({ test }, add, { source }) {
    if (!isCompound(test)) add(test.start, test.end, `!(${source.slice(test.start, test.end)})`)
  },
  UnaryExpression(node, add, { source }) {
    if (node['operator'] === '!') add(node.start, node.end, source.slice(node['argument'].start, node['argument'].end))
  },
  ExpressionStatement(node, add) {
    if (isCall(node['expression'])) dropped(node, add)
  },
  StringLiteral(node, add, { parent }) {
    if (isWord(node, parent)) add(node.start, node.end, "''")
  },
}

/** Its parts are mutated: they say the same. */
const isCompound = ({ type, operator }: Node) =>
  type === 'LogicalExpression' || (type === 'BinaryExpression' && operator in OPERATORS) || (type === 'UnaryExpression' && operator === '!')

const isCall = (node: Node): boolean => node.type === 'CallExpression' || (node.type === 'AwaitExpression' && isCall(node['argument']))

function exchange(node: Node, add: Add, { source }: Around): void {
  const [left, right, to] = [node['left'] as Node, node['right'] as Node, OPERATORS[node['operator']]]
  if (to === undefined || (node['operator'] === '+' && [left, right].some(isText))) return
  const at = source.indexOf(node['operator'], left.end)
  if (at >= 0 && at < right.start) add(at, at + node['operator'].length, to)
}

const isText = ({ type }: Node) => type === 'StringLiteral' || type === 'TemplateLiteral'

/** Not a module, not the name of a member, and no text for people, which has blanks. */
const isWord = ({ value, start }: Node, parent: Node | null): boolean =>
  value !== '' &&
  !value.includes(' ') &&
  parent !== null &&
  !/^(?:Import|Export)/.test(parent.type) &&
  !(parent.type.endsWith('Property') && parent['key'].start === start)

function letGo(node: Node, add: Add, { source }: Around): void {
  const pattern = node['pattern'] as string
  if (pattern.startsWith('^')) add(node.start + 1, node.start + 2, '')
  if (pattern.endsWith('$') && !pattern.endsWith('\\$')) {
    const at = node.start + pattern.length
    if (source[at] === '$') add(at, at + 1, '')
  }
}

function exchangeMethod(node: Node, add: Add, { parent }: Around): void {
  const { property } = node as unknown as { property: Node }
  const to = METHODS[property['name']]
  if (parent?.type === 'CallExpression' && parent['callee'] === node && to !== undefined && Object.hasOwn(METHODS, property['name']))
    add(property.start, property.end, to)
}

function walk(node: Node, parent: Node | null, visit: (node: Node, parent: Node | null) => void): void {
  visit(node, parent)
  for (const [name, value] of Object.entries(node)) {
    if (name === 'loc' || name === 'extra' || name.endsWith('Comments')) continue
    for (const child of Array.isArray(value) ? value : [value]) if (child && typeof child.type === 'string') walk(child, node, visit)
  }
}
