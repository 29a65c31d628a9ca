import fs from 'node:fs'
import path from 'node:path'
import { filesBelow } from './rooms.ts'

const CHECKOUT = path.resolve(import.meta.dirname, '../..')
/** Further ones add time and next to nothing. */
const MOST = 30

/** Which unit tests load a source, the nearest first. */
export class RelatedTests {
  readonly #loads = new Map<string, ReadonlySet<string>>()
  readonly #imports = new Map<string, readonly string[]>()

  constructor() {
    for (const test of filesBelow('test/unit').filter((file) => file.endsWith('.test.ts'))) this.#loads.set(test, this.#reach(test))
  }

  /** The test of the source itself first, then those that use it (`isDirect`), then those that load it. */
  of(source: string): { test: string; isDirect: boolean }[] {
    const room = path.dirname(source).replace(/^src/, 'test/unit')
    const isDirect = (test: string) => this.#imports.get(test)!.includes(source)
    const distance = (test: string) =>
      (path.basename(test) === `${path.basename(source, '.ts')}.test.ts` ? 0 : isDirect(test) ? 1 : 2) * 1000 +
      (test.startsWith(`${room}/`) ? 0 : 500) +
      this.#loads.get(test)!.size
    const loading = [...this.#loads].filter(([, loaded]) => loaded.has(source)).map(([test]) => test)
    return loading
      .sort((a, b) => distance(a) - distance(b))
      .slice(0, MOST)
      .map((test) => ({ test, isDirect: isDirect(test) }))
  }

  #reach(file: string): ReadonlySet<string> {
    const seen = new Set<string>()
    const open = [file]
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue
      seen.add(next)
      open.push(...this.#importsOf(next))
    }
    return seen
  }

  #importsOf(file: string): readonly string[] {
    const known = this.#imports.get(file)
    if (known) return known
    const text = fs.readFileSync(path.join(CHECKOUT, file), 'utf8')
    const targets = [...text.matchAll(/^(?:import|export|\} from|import .*|.*? from)(?! type).*?'(\.[^']+\.ts)'/gm)].map(
      (match) => match[1]!,
    )
    const imports = targets
      .filter((target) => !new RegExp(`^import type [^\\n]*'${target.replace(/[.]/g, '\\.')}'`, 'm').test(text))
      .map((target) => path.join(path.dirname(file), target))
    this.#imports.set(file, imports)
    return imports
  }
}
