import fs from 'node:fs'
import path from 'node:path'

export const ROOT = path.resolve(import.meta.dirname, '../..')

/** Pages beside those of docs/, relative to the root of the repository. */
const OTHERS = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'test/vm/README.md']

/** Every page of the site, relative to the root of the repository. */
export const pageSources = (): string[] => [
  ...OTHERS,
  ...fs
    .readdirSync(path.join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.posix.join('docs', name))
    .toSorted(),
]

/** Where the page of a source is in the site: `guide/upkeep.html` of `docs/guide/upkeep.md`. */
export const placeOfSource = (source: string): string =>
  source
    .replace(/^docs\//, '')
    .replace(/(^|\/)README\.md$/, '$1index.html')
    .replace(/\.md$/, '.html')

/** The address of a link of a page, within the site; what leads elsewhere is left. @param files collects files that a page links to and that are no pages. */
export function addressInSite(source: string, href: string, files: Set<string>): string {
  if (/^[a-z]+:/.test(href) || href.startsWith('#')) return href
  const [target = '', anchor] = href.split('#')
  const file = path.posix.join(path.posix.dirname(source), target)
  if (!file.endsWith('.md')) files.add(file)
  const there = file.endsWith('.md') ? placeOfSource(file) : file.replace(/^docs\//, '')
  const relative = path.posix.relative(path.posix.dirname(placeOfSource(source)), there)
  return `${relative}${anchor === undefined ? '' : `#${anchor}`}`
}
