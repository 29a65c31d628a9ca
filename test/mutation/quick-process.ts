// The warm process of `test-runners.ts`. Test files are loaded anew for each run, with everything of ours that they load; packages are loaded once.
import fs from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect } from 'expect'
import { openCollector } from './test-collector.ts'

interface Order {
  readonly file: string
  /** Of the file, in place of what is on the disk. */
  readonly text: string
  readonly tests: readonly string[]
}

const CHECKOUT = path.resolve(import.meta.dirname, '../..')
const OURS = [pathToFileURL(`${CHECKOUT}/src/`).href, pathToFileURL(`${CHECKOUT}/test/`).href]
const MARK = '?run='

const stripped = new Map<string, string>()
let run = 0
let mutant = { url: '', text: '' }

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    const isOurs = found.url.endsWith('.ts') && OURS.some((place) => found.url.startsWith(place))
    return isOurs ? { ...found, url: `${found.url}${MARK}${run}` } : found
  },
  load(url, context, next) {
    const at = url.indexOf(MARK)
    if (at < 0) return next(url, context)
    return { format: 'module', source: sourceOf(url.slice(0, at)), shortCircuit: true }
  },
})

function sourceOf(url: string): string {
  if (url === mutant.url) return stripTypeScriptTypes(mutant.text)
  const known = stripped.get(url)
  if (known !== undefined) return known
  const source = stripTypeScriptTypes(fs.readFileSync(fileURLToPath(url), 'utf8'))
  stripped.set(url, source)
  return source
}

process.on('unhandledRejection', () => {}) // of what a mutant left behind: it is no failed test of the next one
process.on('uncaughtException', () => {})

process.on('message', async ({ file, text, tests }: Order) => {
  run++
  mutant = { url: pathToFileURL(path.join(CHECKOUT, file)).href, text }
  let count = 0
  const failed: string[] = []
  for (const test of tests) {
    const collector = openCollector()
    Object.assign(globalThis, collector.globals, { expect })
    try {
      await import(pathToFileURL(path.join(CHECKOUT, test)).href)
      count += await collector.run()
    } catch (error) {
      failed.push(error instanceof Error ? error.message : String(error))
      break
    }
  }
  process.send?.({ passed: failed.length === 0 && count > 0, count, failed })
})
