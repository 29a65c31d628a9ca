import { entryPath } from '../archive/file-digests.ts'
import { KeylimeError } from '../errors.ts'
import type { IndexedFile, IndexedPackage } from './deb-index.ts'

/** Where `repomd.xml` says that the list of packages is, and its SHA-256. @throws KeylimeError `invalid_request` when it says neither. */
export function primaryOf(repomd: string): IndexedFile {
  const found = elements(repomd, 'data').find(({ attributes }) => attribute(attributes, 'type') === 'primary')
  const indexed = found && indexedIn(found.content)
  if (indexed) return indexed
  throw new KeylimeError('invalid_request', 'repomd.xml has no primary list with a location and a SHA-256')
}

/** The packages of a primary list. @throws KeylimeError `invalid_request` for one without a location or a SHA-256. */
export const packagesOf = (primary: string): IndexedPackage[] =>
  elements(primary, 'package').map(({ content }, i) => {
    const indexed = indexedIn(content)
    if (indexed) return { name: elements(content, 'name')[0]?.content.trim() ?? '', ...indexed }
    throw new KeylimeError('invalid_request', `the primary list has no location and SHA-256 for its package ${i + 1}`)
  })

function indexedIn(content: string): IndexedFile | null {
  const sha256 = elements(content, 'checksum')
    .find(({ attributes }) => attribute(attributes, 'type') === 'sha256')
    ?.content.trim()
  const href = /<location\b([^>]*)>/.exec(content)?.[1]
  const path = href === undefined ? undefined : attribute(href, 'href')
  return sha256 && /^[0-9a-f]{64}$/.test(sha256) && path ? { path: entryPath(path).slice(1), sha256 } : null
}

/** Elements of one name that do not nest, which is all that these lists have. Linear in the text. */
function elements(xml: string, name: string): { attributes: string; content: string }[] {
  const found: { attributes: string; content: string }[] = []
  const open = new RegExp(`<${name}(?=[\\s>])([^>]*)>`, 'g')
  for (let match = open.exec(xml); match; match = open.exec(xml)) {
    const end = xml.indexOf(`</${name}>`, open.lastIndex)
    if (end < 0) break
    found.push({ attributes: match[1]!, content: xml.slice(open.lastIndex, end) })
    open.lastIndex = end
  }
  return found
}

function attribute(text: string, name: string): string | undefined {
  const value = new RegExp(`\\b${name}\\s*=\\s*["']([^"']*)["']`).exec(text)?.[1]
  return value?.replace(
    /&(amp|lt|gt|quot|apos);/g,
    (_all, entity: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" })[entity]!,
  )
}
