export interface NavGroup {
  readonly title: string
  readonly links: readonly { readonly text: string; readonly page: string }[]
}

export interface SitePage {
  /** Relative to the root of the site, such as `guide/upkeep.html`. */
  readonly page: string
  readonly title: string
  /** What is between the heading and the end. */
  readonly html: string
  /** Headings of the second level. */
  readonly sections: readonly { readonly anchor: string; readonly text: string }[]
}

/** A whole HTML file. All that it loads is beside it, by relative addresses: it works from a disk. */
export function wholePage(page: SitePage, nav: readonly NavGroup[]): string {
  const root = '../'.repeat(page.page.split('/').length - 1)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(page.title)}${page.page === 'index.html' ? '' : ' · keylime'}</title>
<link rel="stylesheet" href="${root}site.css">
</head>
<body data-root="${root}">
<header>
<button type="button" class="menu" aria-expanded="false" aria-controls="nav" aria-label="Pages">☰</button>
<a class="home" href="${root}index.html">keylime</a>
<form role="search" class="search">
<input type="search" placeholder="Search the documentation" aria-label="Search" autocomplete="off" aria-controls="found">
<ol id="found" hidden></ol>
</form>
</header>
<div class="columns">
<nav id="nav" aria-label="Pages">
${nav.map((group) => groupHtml(group, page.page, root)).join('\n')}
</nav>
<main>
${page.html}
</main>
${contents(page)}
</div>
<script src="${root}minisearch.js"></script>
<script src="${root}search-index.js"></script>
<script src="${root}site.js"></script>
</body>
</html>
`
}

function groupHtml({ title, links }: NavGroup, current: string, root: string): string {
  const isOpen = links.some(({ page }) => page === current)
  const items = links.map(
    ({ text: shown, page }) => `<li><a href="${root}${page}"${page === current ? ' aria-current="page"' : ''}>${text(shown)}</a></li>`,
  )
  return `<details${isOpen ? ' open' : ''}><summary>${text(title)}</summary><ul>${items.join('')}</ul></details>`
}

function contents({ sections }: SitePage): string {
  if (sections.length < 2) return '<aside></aside>'
  const items = sections.map(({ anchor, text: shown }) => `<li><a href="#${anchor}">${text(shown)}</a></li>`)
  return `<aside aria-label="On this page"><p>On this page</p><ul>${items.join('')}</ul></aside>`
}

export const text = (raw: string): string =>
  raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
