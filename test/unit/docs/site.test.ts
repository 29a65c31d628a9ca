import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import vm from 'node:vm'
import { buildSite } from '../../../docs/site/build.ts'
import { manualHtml } from '../../../docs/site/manual-html.ts'
import { markdownHtml } from '../../../docs/site/markdown-html.ts'
import { pageSources, placeOfSource } from '../../../docs/site/sources.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-site-'))
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
const count = await buildSite(dir)
const pages = fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.html'))
const htmlOf = new Map(pages.map((page) => [page, fs.readFileSync(path.join(dir, page), 'utf8')]))

const idsOf = (page: string) => new Set([...htmlOf.get(page)!.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]!))
/** Addresses that a page loads or leads to, without those of other sites. */
const addressesIn = (html: string) =>
  [...html.matchAll(/ (?:href|src)="([^"]*)"/g)].map((match) => match[1]!.replaceAll('&amp;', '&')).filter((to) => !/^[a-z]+:/.test(to))

function resolves(page: string, address: string): boolean {
  const [file = '', anchor] = address.split('#')
  const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file)
  if (!fs.statSync(path.join(dir, target), { throwIfNoEntry: false })?.isFile()) return false
  return anchor === undefined || idsOf(target).has(decodeURIComponent(anchor))
}

test('every page of the documentation and of the manual is in the site', () => {
  expect(pages.length).toBe(count)
  expect(pageSources().filter((source) => !htmlOf.has(placeOfSource(source)))).toEqual([])
  expect(pages.filter((page) => page.startsWith('man/')).length).toBeGreaterThan(15)
})

test('every link and anchor of every page leads somewhere in the site', () => {
  const wrong = [...htmlOf].flatMap(([page, html]) =>
    [...new Set(addressesIn(html))].filter((address) => !resolves(page, address)).map((address) => `${page}: ${address}`),
  )
  expect(wrong).toEqual([])
  expect(resolves('index.html', 'guide/upkeep.html#is-everything-well')).toBe(true)
  expect(resolves('index.html', 'guide/upkeep.html#no-such-section')).toBe(false)
  expect(resolves('index.html', 'guide/no-such-page.html')).toBe(false)
})

test('it works from a disk: no page loads anything from elsewhere, no script is a module, none asks for data', () => {
  for (const [page, html] of htmlOf) {
    const loaded = [...html.matchAll(/<(?:script|link|img|iframe)[^>]*? (?:src|href)="([^"]+)"/g)].map((match) => match[1]!)
    expect([page, loaded.filter((address) => /^(?:[a-z]+:)?\/|:/.test(address))]).toEqual([page, []])
    expect(html).not.toMatch(/type="module"/)
  }
  expect(fs.readFileSync(path.join(dir, 'site.js'), 'utf8')).not.toMatch(/fetch\(|XMLHttpRequest|^import /m)
})

test('the search finds pages and sections, by words and their beginnings, and where they are', () => {
  // biome-ignore lint/suspicious/noExplicitAny: what the two scripts leave in the window of a browser
  const window: any = {}
  const context = vm.createContext({ window, self: window, globalThis: window })
  for (const name of ['minisearch.js', 'search-index.js']) vm.runInContext(fs.readFileSync(path.join(dir, name), 'utf8'), context)
  const { index, options, places } = window.KEYLIME_INDEX
  const search = (
    window.MiniSearch as { loadJS(json: unknown, options: unknown): { search(words: string, how: object): { id: number }[] } }
  ).loadJS(index, options)
  const found = (words: string) =>
    search
      .search(words, { prefix: true, boost: { title: 3, heading: 4 }, combineWith: 'AND' })
      .map(({ id }) => places[id] as [string, string])
  expect(found('stolen laptop')[0]![0]).toBe('guide/tasks/stolen-laptop.html')
  expect(found('quote_interval').map(([page]) => page)).toContain('man/keylime-verifier.conf.5.html')
  expect(found('unreachab').length).toBeGreaterThan(3)
  expect(found('xyzzyplugh')).toEqual([])
  const wrong = (places as [string, string][]).filter(([page, anchor]) => !resolves('index.html', anchor ? `${page}#${anchor}` : page))
  expect(wrong).toEqual([])
})

test('headings get the anchors of code hosts, one that comes twice a number, and HTML of a page is text', () => {
  const { title, html, sections } = markdownHtml('# A `b` c\n\n## See <b>\n\nx\n\n## See <b>\n\n[l](README.md#b)\n', (href) => `[${href}]`)
  expect([title, sections.map(({ anchor }) => anchor)]).toEqual(['A b c', ['', 'a-b-c', 'see-b', 'see-b-1']])
  expect(html).toContain('&lt;b&gt;')
  expect(html).toContain('href="[README.md#b]"')
})

test('a page of the manual keeps its words, and a macro that nobody knows is refused', () => {
  const { title, html } = manualHtml(
    '.TH KEYLIME\\-X 1 d "v"\n.SH OPTIONS\n.TP\n\\fB\\-a\\fR FILE\nReads <it>.\n.PP\n.nf\n.RS 4\nkeylime \\(oqx\\(cq\n.RE\n.fi\n',
  )
  expect(title).toBe('keylime-x(1)')
  expect(html).toBe(
    '<h2 id="options">Options</h2>\n<dl>\n<dt><b>-a</b> FILE</dt>\n<dd><p>Reads &lt;it&gt;.</p></dd>\n<dd><pre><code>keylime ‘x’</code></pre></dd>\n</dl>',
  )
  expect(() => manualHtml('.ZZ x\n')).toThrow('.ZZ')
})
