import fs from 'node:fs'
import path from 'node:path'
import type { NavGroup } from './layout.ts'
import { placeOfSource, ROOT } from './sources.ts'

/** Groups of pages at the side: the guide's own index, in its order, and what is not of the guide. */
export function navigation(manual: readonly string[]): NavGroup[] {
  const link = (source: string, text: string) => ({ text, page: placeOfSource(source) })
  return [
    { title: 'keylime', links: [link('README.md', 'What it is'), link('docs/guide/README.md', 'Guide')] },
    ...groupsOf('docs/guide/README.md'),
    {
      title: 'How it works',
      links: [
        link('docs/architecture.md', 'Architecture'),
        link('docs/protocol/README.md', 'Protocol'),
        link('docs/decisions/README.md', 'Decisions'),
        link('SECURITY.md', 'Security'),
        link('docs/supply-chain.md', 'Supply chain'),
        link('docs/interop.md', 'Together with upstream'),
        link('docs/conformance.md', 'Upstream’s scenarios'),
        link('docs/performance.md', 'Performance'),
      ],
    },
    { title: 'Manual', links: manual.map((name) => ({ text: name.replace(/\.(\d)$/, '($1)'), page: `man/${name}.html` })) },
    {
      title: 'The project',
      links: [link('CONTRIBUTING.md', 'Contributing'), link('docs/releasing.md', 'Releasing'), link('CHANGELOG.md', 'Changes')],
    },
  ]
}

/** A group for each heading of an index, with the links below it. */
function groupsOf(source: string): NavGroup[] {
  const text = fs.readFileSync(path.join(ROOT, source), 'utf8')
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.split('\n')[0]!,
      links: [...section.matchAll(/^\* \[([^\]]+)\]\(([^)#]+)\)/gm)].map(([, shown = '', target = '']) => ({
        text: shown.replaceAll('`', ''),
        page: placeOfSource(path.posix.join(path.posix.dirname(source), target)),
      })),
    }))
}
