import MarkdownIt, { type MarkdownIt as Parser, type Token } from 'markdown-it'
import { text as escaped } from './layout.ts'

export interface Section {
  /** Empty for what stands above the first heading. */
  readonly anchor: string
  readonly level: number
  readonly heading: string
  /** For the search. */
  readonly text: string
}

export interface MarkdownPage {
  readonly title: string
  readonly html: string
  readonly sections: readonly Section[]
}

/**
 * A page as HTML, with the anchors that code hosts give to headings.
 * @param target turns the target of a link into an address within the site, or leaves it.
 */
export function markdownHtml(markdown: string, target: (href: string) => string): MarkdownPage {
  const md = new MarkdownIt({ html: false, linkify: false })
  const tokens = md.parse(markdown, {})
  const anchorOf = anchors()
  const sections: Section[] = [{ anchor: '', level: 1, heading: '', text: '' }]
  for (const [i, token] of tokens.entries()) {
    if (token.type === 'heading_open') {
      const heading = plainText(tokens[i + 1]!)
      const anchor = anchorOf(heading)
      token.attrSet('id', anchor)
      sections.push({ anchor, level: Number(token.tag.slice(1)), heading, text: '' })
    } else if (token.type === 'inline' || token.type === 'fence') {
      if (tokens[i - 1]?.type !== 'heading_open') addText(sections, token.type === 'fence' ? token.content : plainText(token))
    }
    for (const child of token.children ?? [])
      if (child.type === 'link_open') child.attrSet('href', target(String(child.attrGet('href') ?? '')))
  }
  const [, first] = sections
  return { title: first?.heading ?? '', html: rendered(md, tokens), sections }
}

function rendered(md: Parser, tokens: Token[]): string {
  labelCells(tokens)
  md.renderer.rules['table_open'] = (all, i) =>
    `<div class="table"><table class="${Number(all[i]!.attrGet('data-columns')) > 2 ? 'wide' : 'narrow'}">\n`
  md.renderer.rules['table_close'] = () => '</table></div>\n'
  md.renderer.rules['code_inline'] = (all, i) => inlineCode(all[i]!.content)
  md.renderer.rules['heading_close'] = (all, i) => {
    const { tag } = all[i]!
    const anchor = String(all[i - 2]!.attrGet('id') ?? '')
    return tag === 'h1' ? '</h1>\n' : `<a class="anchor" href="#${escaped(anchor)}" aria-label="Link to this section">#</a></${tag}>\n`
  }
  return md.renderer.render(tokens, md.options, {})
}

/** A short one stays on its line; a long one may break behind an underscore or a slash. */
const inlineCode = (content: string): string =>
  content.length <= 24
    ? `<code class="short">${escaped(content).replaceAll('_', '_<wbr>')}</code>`
    : `<code>${escaped(content).replaceAll(/[_/](?=.)/g, '$&<wbr>')}</code>`

/** Narrow screens show a row of a table as a list: each cell has the name of its column. */
function labelCells(tokens: Token[]): void {
  let table: Token | undefined
  let columns: string[] = []
  let column = 0
  for (const [i, token] of tokens.entries()) {
    if (token.type === 'table_open') {
      table = token
      columns = []
    }
    if (token.type === 'th_open') columns.push(plainText(tokens[i + 1]!))
    if (token.type === 'tr_open') column = 0
    if (token.type === 'thead_close') table!.attrSet('data-columns', String(columns.length))
    if (token.type === 'td_open') token.attrSet('data-label', columns[column++] ?? '')
  }
}

const addText = (sections: Section[], added: string): void => {
  const last = sections.at(-1)!
  sections[sections.length - 1] = { ...last, text: `${last.text} ${added}`.trim() }
}

const plainText = (token: Token): string =>
  (token.children ?? [])
    .map((child) => (['text', 'code_inline'].includes(child.type) ? child.content : child.type === 'softbreak' ? ' ' : ''))
    .join('')

/** Of one page: a heading that comes twice gets a number. */
function anchors(): (heading: string) => string {
  const used = new Map<string, number>()
  return (heading) => {
    const base = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    const times = used.get(base) ?? 0
    used.set(base, times + 1)
    return times === 0 ? base : `${base}-${times}`
  }
}
