import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { types } from 'node:util'
import { buildSync } from 'esbuild'

/** Libraries of many files: each test file would read, compile and link every one of them again, which took as long as the tests. The executable has them as one file too. */
const LIBRARIES = ['@peculiar/x509', 'fast-check', 'koa', 'kysely', 'undici', 'winston', 'yaml', 'yargs', 'zod']
const ROOT = new URL('..', import.meta.url).pathname
const require = createRequire(import.meta.url)

/** Jest's `moduleNameMapper`: each library as one module of its own, made once for what is installed and for this file. */
export function bundledLibraries() {
  const state = createHash('sha256').update(process.version).update(readFileSync(`${ROOT}node_modules/.package-lock.json`)).update(readFileSync(new URL(import.meta.url)))
  const folder = `${ROOT}node_modules/.cache/test-libraries/${state.digest('hex').slice(0, 16)}`
  mkdirSync(folder, { recursive: true })
  return Object.fromEntries(LIBRARIES.map((name) => [`^${name}$`, bundle(name, `${folder}/${name.replace('/', '-')}.mjs`)]))
}

function bundle(name, file) {
  if (existsSync(file)) return file
  const { outputFiles } = buildSync({
    stdin: { contents: reExport(name), resolveDir: ROOT, sourcefile: 'library.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    minifyWhitespace: true, // comments are read each time too
    minifySyntax: true,
    write: false,
    banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);" },
  })
  const unfinished = `${file}.${process.pid}`
  writeFileSync(unfinished, outputFiles[0].contents)
  renameSync(unfinished, file)
  return file
}

/** Name by name: those of a CommonJS library are known only when it runs. */
function reExport(name) {
  require('reflect-metadata') // @peculiar/x509 looks for it
  const library = require(name)
  const isModule = types.isModuleNamespaceObject(library) || library.__esModule === true
  const names = new Set(Object.keys(library).filter((key) => /^[A-Za-z_$][\w$]*$/.test(key) && key !== '__esModule'))
  if (!isModule) names.add('default')
  return `export { ${[...names].join(', ')} } from '${name}'`
}
