import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const src = join(root, 'src')
const mayImport: Record<string, string[]> = {
  core: ['core'],
  io: ['io', 'core'],
  config: ['config', 'core'],
  roles: ['roles', 'io', 'config', 'core'],
  tools: ['tools', 'roles', 'io', 'config', 'core'],
}
const pureBuiltins = new Set(['node:crypto', 'node:util', 'node:net']) // of node:net only isIP: it opens nothing
const corePackages = new Set(['@peculiar/x509', 'jszip', 'zod', 'yaml', 're2js'])
const bannedNames = /(^|[-/])(util|utils|helper|helpers|common|shared|misc|manager|base)([-./]|$)/
const MAX_LINES = 300
const MAX_FUNCTION_LINES = 60

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

test('only core/pki imports the X.509 library', () => {
  const importers = files.filter((f) => importsOf(f).includes('@peculiar/x509'))
  expect(importers.filter((f) => !f.startsWith('core/pki/'))).toEqual([])
})

test.each(files)('%s is small and well named', (file) => {
  const lines = text(file).split('\n')
  expect(lines.length).toBeLessThanOrEqual(MAX_LINES)
  expect(file).not.toMatch(bannedNames)
  expect(file).toMatch(/^[a-z0-9/-]+(\.d)?\.ts$/)
  expect(text(file)).not.toMatch(/^export default|^export \* from/m)
})

test.each(files)('%s has functions of at most 60 lines', (file) => {
  const lines = text(file).split('\n')
  const tooLong = lines.flatMap((line, start) => {
    if (!/^(export )?(async )?function /.test(line)) return []
    const length = lines.slice(start).indexOf('}') + 1
    const nested = lines.slice(start + 1, start + length).some((l) => /^ {2}(async )?function |^ {2}return \{$/.test(l))
    return length > MAX_FUNCTION_LINES && !nested ? [`${line.slice(0, 60)} ${length}`] : []
  })
  expect(tooLong).toEqual([])
})
