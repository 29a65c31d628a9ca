// `npm run docs:site [-- DIR]`: README, guide, protocol, decisions, options and manual as HTML, in dist/site. Works from a disk.
import fs from 'node:fs'
import path from 'node:path'
import { commandTree } from '../../src/command-tree.ts'
import { manualPages } from '../../src/tools/man/pages.ts'
import { type SitePage, wholePage } from './layout.ts'
import { manualHtml } from './manual-html.ts'
import { markdownHtml, type Section } from './markdown-html.ts'
import { navigation } from './navigation.ts'
import { searchIndexScript } from './search-index.ts'
import { addressInSite, pageSources, placeOfSource, ROOT } from './sources.ts'

interface Built {
  readonly page: SitePage
  readonly sections: readonly Section[]
}

/** Builds the whole site in a directory, which is emptied before. @returns number of pages. */
export async function buildSite(directory: string): Promise<number> {
  const files = new Set<string>()
  const manual = await manualPagesBuilt()
  const built = [...pageSources().map((source) => ofMarkdown(source, files)), ...manual]
  const nav = navigation(manual.map(({ page }) => path.basename(page.page, '.html')))
  fs.rmSync(directory, { recursive: true, force: true })
  const write = (name: string, content: string | Buffer) => {
    const file = path.join(directory, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
  }
  for (const { page } of built) write(page.page, wholePage(page, nav))
  for (const file of files) write(file.replace(/^docs\//, ''), fs.readFileSync(path.join(ROOT, file)))
  for (const name of ['site.css', 'site.js']) write(name, fs.readFileSync(path.join(import.meta.dirname, name)))
  write('minisearch.js', fs.readFileSync(path.join(ROOT, 'node_modules/minisearch/dist/umd/index.js')))
  write('search-index.js', searchIndexScript(built.map(({ page, sections }) => ({ page: page.page, title: page.title, sections }))))
  return built.length
}

function ofMarkdown(source: string, files: Set<string>): Built {
  const markdown = fs.readFileSync(path.join(ROOT, source), 'utf8')
  const { title, html, sections } = markdownHtml(markdown, (href) => addressInSite(source, href, files))
  const second = sections.filter(({ level, heading }) => level === 2 && heading !== '')
  return {
    page: { page: placeOfSource(source), title, html, sections: second.map(({ anchor, heading }) => ({ anchor, text: heading })) },
    sections,
  }
}

async function manualPagesBuilt(): Promise<Built[]> {
  const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const pages = manualPages(await commandTree(), { version, date: '' })
  return [...pages].map(([name, roff]) => {
    const { title, html } = manualHtml(roff)
    const anchored = [...html.matchAll(/<h2 id="([^"]+)">([^<]*)<\/h2>/g)].map(([, anchor = '', text = '']) => ({ anchor, text }))
    const plain = html
      .replaceAll(/<[^>]+>/g, ' ')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&')
    return {
      page: { page: `man/${name}.html`, title, html: `<h1>${title}</h1>\n${html}`, sections: anchored },
      sections: [{ anchor: '', level: 1, heading: title, text: plain }],
    }
  })
}

if (process.argv[1] === import.meta.filename) {
  const directory = path.resolve(process.argv[2] ?? path.join(ROOT, 'dist/site'))
  const count = await buildSite(directory)
  console.log(`${count} pages: ${path.join(directory, 'index.html')}`)
}
