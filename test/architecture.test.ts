import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const src = join(root, 'src')
const mayImport: Record<string, string[]> = {
  core: ['core'],
  io: ['io', 'core'],
  config: ['config', 'core'],
  authority: ['authority', 'io', 'core'],
  roles: ['roles', 'authority', 'io', 'config', 'core'],
  tools: ['tools', 'roles', 'io', 'config', 'core'],
  build: ['build', 'tools', 'config', 'core'],
}
const pureBuiltins = new Set(['node:crypto', 'node:util', 'node:net']) // of node:net only isIP: it opens nothing
const corePackages = new Set(['@peculiar/x509', 'jszip', 'zod', 'yaml', 're2js'])
const bannedNames = /(^|[-/])(util|utils|helper|helpers|common|shared|misc|manager|base)([-./]|$)/
const MAX_LINES = 300
const MAX_FUNCTION_LINES = 60
const MAX_PARAMETERS = 4

const files = readdirSync(src, { recursive: true, withFileTypes: true })
  .filter((f) => f.isFile() && f.name.endsWith('.ts'))
  .map((f) => relative(src, join(f.parentPath, f.name)))
const text = (file: string) => readFileSync(join(src, file), 'utf8')
const importsOf = (file: string) => [...text(file).matchAll(/(?:from|import\() ?'([^']+)'/g)].map((match) => match[1]!)

/** `roles/tenant/x.ts` for a relative import of `file`. */
const resolved = (file: string, target: string) => relative(src, resolve(src, dirname(file), target))

test.each(files.filter((f) => f.includes('/')))('%s imports only what its layer may', (file) => {
  const [layer, room] = file.split('/')
  for (const target of importsOf(file).filter((t) => t.startsWith('.'))) {
    const [to, toRoom, ...rest] = resolved(file, target).split('/')
    expect({ file, target, to: mayImport[layer!] }).toEqual({ file, target, to: expect.arrayContaining([to]) })
    if (layer === 'roles' && to === 'roles') expect(`${file} -> ${toRoom}`).toBe(`${file} -> ${room}`)
    if (layer === 'tools' && to === 'roles') expect(`${file} -> ${rest.join('/')}`).toBe(`${file} -> start.ts`)
    if (layer === 'tools' && to === 'tools') expect(`${file} -> ${toRoom}`).toBe(`${file} -> ${room}`)
  }
})

test.each(files.filter((f) => f.startsWith('core/')))('%s does no I/O', (file) => {
  for (const target of importsOf(file).filter((t) => !t.startsWith('.'))) {
    const allowed = target.startsWith('node:') ? pureBuiltins : corePackages
    expect(`${file}: ${allowed.has(target) ? 'fine' : target}`).toBe(`${file}: fine`)
  }
  expect(text(file)).not.toMatch(/\bDate\.now\(|\bnew Date\(\)|\bprocess\.|\bconsole\.|\bMath\.random\(|\bsetTimeout\(/)
})

/** Where a library may be imported; of what is not listed, anywhere that its layer allows. */
const LIBRARY_ROOMS: Record<string, readonly string[]> = {
  '@peculiar/x509': ['core/pki/'],
  jszip: ['core/payload/'],
  re2js: ['core/ima/', 'core/measured-boot/command-line-pattern.ts'],
  yaml: ['core/keystore/', 'core/measured-boot/', 'io/', 'tools/'],
  koa: ['io/http/'],
  undici: ['io/http/'],
  kysely: ['io/db/'],
  'better-sqlite3': ['io/db/'],
  pg: ['io/db/postgres-pool.ts', 'io/db/postgres-client.ts'],
  winston: ['io/log/'],
  yauzl: ['io/files/'],
  zeromq: ['io/zeromq/'],
  'prom-client': ['io/metrics/'],
  yargs: ['main.ts', 'command-tree.ts', 'roles/', 'tools/'],
}

test.each(Object.entries(LIBRARY_ROOMS))('%s is imported only where it belongs', (library, rooms) => {
  const importers = files.filter((f) => importsOf(f).includes(library))
  expect(importers.filter((f) => !rooms.some((room) => f.startsWith(room)))).toEqual([])
})

test('what proves a secret is compared in constant time, wherever it is compared (invariant 9)', () => {
  for (const file of ['core/payload/auth-tag.ts', 'core/quote/verify-quote.ts', 'core/quote/verify-certify.ts'])
    expect(
      `${file}: ${/a\.length === b\.length && timingSafeEqual\(a, b\)|left\.length === right\.length && timingSafeEqual\(left, right\)/.test(text(file))}`,
    ).toBe(`${file}: true`)
  const tag = String.raw`(?:authTag|registrationTag|challengeHmac|answerDigest)\([^=\n]*\)`
  const compares = new RegExp(`${tag} ?[!=]==|[!=]== ?${tag}|${tag}\\.equals\\(|\\.equals\\(${tag}`)
  expect(files.filter((file) => compares.test(text(file)))).toEqual([])
  expect(['tag === authTag(k, id)', 'authTag(k, id) !== tag', 'answerDigest(tag).equals(x)'].every((line) => compares.test(line))).toBe(
    true,
  )
})

test('what commands and services say to people goes through one place, where text from outside is made safe', () => {
  const writers = files.filter((file) => /process\.(?:stdout|stderr)\.write\(|console\.\w+\(/.test(text(file)))
  expect(writers.filter((file) => !/^(?:io\/(?:terminal|log)|build)\//.test(file))).toEqual(['main.ts']) // words of our own, before anything is loaded
})

test('no circle between files', () => {
  expect(circles(new Map(files.map((file) => [file, relativeImports(file)])))).toEqual([])
})

test('no circle between the rooms of core, of io and of each role', () => {
  const roles = ['agent', 'ca', 'registrar', 'tenant', 'verifier'].map((role) => `roles/${role}/`)
  for (const layer of ['core/', 'io/', ...roles]) {
    const rooms = new Map<string, string[]>()
    const roomOf = (file: string) => (file.startsWith(layer) ? layer + file.slice(layer.length).split('/')[0] : null)
    for (const file of files) {
      const room = roomOf(file)
      if (room === null) continue
      const targets = relativeImports(file).map(roomOf)
      rooms.set(room, [...(rooms.get(room) ?? []), ...targets.filter((to) => to !== null && to !== room).map((to) => to!)])
    }
    expect(circles(rooms)).toEqual([])
  }
})

const relativeImports = (file: string) =>
  importsOf(file)
    .filter((t) => t.startsWith('.'))
    .map((t) => resolved(file, t))

/** One circle for each that is found: its members in order. */
function circles(graph: Map<string, string[]>): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const walk = (node: string, path: string[]): void => {
    const at = path.indexOf(node)
    if (at >= 0) return void found.push([...path.slice(at), node].join(' -> '))
    if (done.has(node)) return
    done.add(node)
    for (const next of new Set(graph.get(node) ?? [])) walk(next, [...path, node])
  }
  for (const node of graph.keys()) walk(node, [])
  return found
}

test.each(files)('%s is small and well named', (file) => {
  const lines = text(file).split('\n')
  expect(lines.length).toBeLessThanOrEqual(MAX_LINES)
  expect(file).not.toMatch(bannedNames)
  expect(file).toMatch(/^[a-z0-9/-]+(\.d)?\.ts$/)
  expect(text(file)).not.toMatch(/^export default|^export \* from/m)
})

test.each(files)('%s has functions of at most 60 lines and few parameters', (file) => {
  const functions = functionsOf(text(file))
  const faults = functions.flatMap((f) => {
    // What stands in it as a function of its own is measured by itself: a factory is as long as what it does besides.
    const lines = f.end - f.start + 1 - nestedLines(f, functions)
    return [
      ...(lines > MAX_FUNCTION_LINES ? [`${f.name} has ${lines} lines`] : []),
      ...(f.parameters > MAX_PARAMETERS ? [`${f.name} has ${f.parameters} parameters`] : []),
    ]
  })
  expect(faults).toEqual([])
})

test.each<[string, string, { name: string; parameters: number; lines: number }[]]>([
  ['a function', 'export async function a<T>(b: Map<T, string>, c = [1, 2]): T {\n  return b\n}', [{ name: 'a', parameters: 2, lines: 3 }]],
  [
    'an arrow',
    'const a = async ({ b, c }: D, e: (f: number, g: number) => void): Promise<E> => {\n  e()\n}',
    [{ name: 'a', parameters: 2, lines: 3 }],
  ],
  ['an arrow of one line', 'export const a = <T>(b: T, c: T) => b ?? c\nconst d = (1 + 2) * 3', [{ name: 'a', parameters: 2, lines: 1 }]],
  [
    'a method',
    'class A {\n  static async #b(\n    c: C,\n    d: D,\n  ): Promise<E> {\n    if (c) {\n      d()\n    }\n  }\n}',
    [{ name: '#b', parameters: 2, lines: 8 }],
  ],
  [
    'a member',
    '  return {\n    a(b, c, d) {\n      e(f)\n    },\n    g: (h) => ({\n      i,\n    }),\n  }',
    [
      { name: 'a', parameters: 3, lines: 3 },
      { name: 'g', parameters: 1, lines: 3 },
    ],
  ],
])('of %s the test above sees parameters and lines', (_what, source, expected) => {
  expect(functionsOf(source).map(({ name, parameters, start, end }) => ({ name, parameters, lines: end - start + 1 }))).toEqual(expected)
})

interface MeasuredFunction {
  name: string
  parameters: number
  /** Lines, both included. */
  start: number
  end: number
}

const MODIFIERS = '(?:(?:static|async|get|set|override|private) )*'
const HEADS: readonly { head: RegExp; rest: RegExp }[] = [
  { head: /^ *(?:export )?(?:async )?function\*? (\w+)(?:<[^(]*>)?\(/, rest: /^/ },
  { head: /^ *(?:export )?const (\w+)(?:: [^=]+)? = (?:async )?(?:<[^(]*>)?\(/, rest: /^(?:: [^\n]*?)? =>/ },
  { head: /^ *(\w+): (?:async )?(?:<[^(]*>)?\(/, rest: /^(?:: [^\n]*?)? =>/ },
  {
    head: new RegExp(`^ *${MODIFIERS}\\*?(#?(?!(?:if|for|while|switch|catch|function)\\b)\\w+)(?:<[^(]*>)?\\(`),
    rest: /^(?:: [^\n]*)? \{(?:\n|$)/,
  },
]

/** Functions, arrow functions that have a name, and methods of classes and objects, in the form that biome gives them. */
function functionsOf(source: string): MeasuredFunction[] {
  const lines = source.split('\n')
  return lines.flatMap((line, start) => {
    for (const { head, rest } of HEADS) {
      const found = head.exec(line)
      if (!found) continue
      const tail = lines.slice(start).join('\n')
      const { count, end: close } = parametersFrom(tail, found[0].length)
      const after = tail.slice(close + 1)
      if (!rest.test(after)) continue
      const headEnd = start + tail.slice(0, close).split('\n').length - 1
      return [{ name: found[1]!, parameters: count, start, end: bodyEnd(lines, start, headEnd) }]
    }
    return []
  })
}

/** The line that closes the body; of an arrow without one the line of its head. */
function bodyEnd(lines: readonly string[], start: number, headEnd: number): number {
  if (!/[{[(]$/.test(lines[headEnd]!)) return headEnd
  const indent = /^ */.exec(lines[start]!)![0]
  const end = lines.findIndex((line, i) => i > headEnd && line.startsWith(indent) && /^[})\]]/.test(line.slice(indent.length)))
  return end < 0 ? headEnd : end
}

/** Lines of the functions inside of one, each counted once. */
function nestedLines({ start, end }: MeasuredFunction, all: readonly MeasuredFunction[]): number {
  let count = 0
  let last = start
  for (const inner of all) {
    if (inner.start <= last || inner.end > end || inner.end === inner.start) continue
    count += inner.end - inner.start + 1
    last = inner.end
  }
  return count
}

/** From behind an opening bracket: commas outside of all brackets, plus one; and where the bracket closes. */
function parametersFrom(source: string, from: number): { count: number; end: number } {
  let depth = 0
  let count = 0
  let seen = false
  for (let at = from; at < source.length; at++) {
    const c = source[at]!
    if (c === ')' && depth === 0) return { count: seen ? count + 1 : 0, end: at }
    if ('([{<'.includes(c)) depth++
    else if (')]}'.includes(c) || (c === '>' && source[at - 1] !== '=')) depth--
    else if (c === ',' && depth === 0 && !/^,\s*\)/.test(source.slice(at, at + 200))) count++
    if (/\S/.test(c)) seen = true
  }
  return { count: 0, end: source.length }
}
