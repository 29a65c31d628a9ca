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
}
const pureBuiltins = new Set(['node:crypto', 'node:util', 'node:net']) // of node:net only isIP: it opens nothing
const corePackages = new Set(['@peculiar/x509', 'jszip', 'zod', 'yaml', 're2js'])
const bannedNames = /(^|[-/])(util|utils|helper|helpers|common|shared|misc|manager|base)([-./]|$)/
const MAX_LINES = 300
const MAX_FUNCTION_LINES = 60
const MAX_PARAMETERS = 5

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
  yaml: ['core/pki/', 'core/measured-boot/', 'io/', 'tools/'],
  koa: ['io/http/'],
  undici: ['io/http/'],
  kysely: ['io/db/'],
  'better-sqlite3': ['io/db/'],
  winston: ['io/log/'],
  yauzl: ['io/files/'],
  zeromq: ['io/zeromq/'],
  yargs: ['main.ts', 'roles/', 'tools/'],
}

test.each(Object.entries(LIBRARY_ROOMS))('%s is imported only where it belongs', (library, rooms) => {
  const importers = files.filter((f) => importsOf(f).includes(library))
  expect(importers.filter((f) => !rooms.some((room) => f.startsWith(room)))).toEqual([])
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
  const lines = text(file).split('\n')
  const faults = lines.flatMap((line, start) => {
    const head = /^( *)(?:export )?(?:async )?function\*? (\w+)/.exec(line)
    if (!head) return []
    const [, indent, name] = head
    const end = lines.indexOf(`${indent}}`, start)
    const own = lines.slice(start, end + 1)
    // What stands in it as a function or an object of its own is measured by itself: a factory is as long as what it makes.
    const inner = own.slice(1).filter((l) => /^ +(?:async )?function\*? \w|^ +return \{$/.test(l)).length
    const body = inner > 0 ? own.length - nestedLines(own, indent!.length) : own.length
    const faultsHere: string[] = []
    if (body > MAX_FUNCTION_LINES) faultsHere.push(`${name} has ${body} lines`)
    const parameters = parameterCount(lines.slice(start).join('\n'))
    if (parameters > MAX_PARAMETERS) faultsHere.push(`${name} has ${parameters} parameters`)
    return faultsHere
  })
  expect(faults).toEqual([])
})

/** Lines of the functions and of the returned object directly inside of a function. */
function nestedLines(own: readonly string[], indent: number): number {
  const pad = ' '.repeat(indent + 2)
  let count = 0
  for (let at = 1; at < own.length; at++) {
    if (!new RegExp(`^${pad}(?:(?:async )?function\\*? \\w|return \\{$|const \\w+ = \\{$)`).test(own[at]!)) continue
    const end = own.findIndex((l, i) => i > at && (l === `${pad}}` || l.startsWith(`${pad}} `)))
    if (end < 0) continue
    count += end - at + 1
    at = end
  }
  return count
}

/** Of the function whose head begins a text: commas outside of all brackets, plus one. */
function parameterCount(source: string): number {
  let at = source.indexOf('(', source.search(/function/)) + 1
  let depth = 0
  let count = 0
  let seen = false
  for (; at < source.length; at++) {
    const c = source[at]!
    if (c === ')' && depth === 0) return seen ? count + 1 : 0
    if ('([{<'.includes(c)) depth++
    else if (')]}'.includes(c) || (c === '>' && source[at - 1] !== '=')) depth--
    else if (c === ',' && depth === 0 && !/^,\s*\)/.test(source.slice(at))) count++
    if (/\S/.test(c)) seen = true
  }
  return 0
}
