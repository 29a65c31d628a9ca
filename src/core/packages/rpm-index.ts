import { entryPath } from '../archive/file-digests.ts'
import { KeylimeError } from '../errors.ts'

/** Digest of a file in a repository, by an algorithm that nobody can find two files for. */
export interface ListedDigest {
  algorithm: 'sha256' | 'sha384' | 'sha512'
  /** Lower-case. */
  hex: string
}

/** A file that a list of an RPM repository names. */
export interface RpmListed {
  /** Below the root of the repository, or of `base`. */
  path: string
  digest: ListedDigest
  /** `xml:base`: the address of another root; null for that of the repository. */
  base: string | null
}

export interface RpmListedPackage extends RpmListed {
  name: string
  /** A source package: nothing of it is installed. */
  isSource: boolean
}

/** Where `repomd.xml` says that the list of packages is, and its digest. Lists of other types (`filelists`, `prestodelta`, `modules`, `updateinfo`) are no matter. @throws KeylimeError `invalid_request` when it says neither. */
export function primaryOf(repomd: string): RpmListed {
  const lists = elements(repomd, 'data')
  const found = lists.find((list) => typeOf(list) === 'primary')
  if (found) return listedIn(found.content, 'repomd.xml has for its primary list')
  const isDatabaseOnly = lists.some((list) => typeOf(list) === 'primary_db')
  throw new KeylimeError(
    'invalid_request',
    isDatabaseOnly
      ? 'repomd.xml has its list of packages only as an SQLite database (primary_db), which cannot be read'
      : 'repomd.xml has no primary list with a location and a digest',
    isDatabaseOnly ? { hint: 'createrepo_c makes primary.xml beside it' } : {},
  )
}

/** The packages of a primary list, in all versions and for all architectures. @throws KeylimeError `invalid_request` for one without a location or a digest. */
export const packagesOf = (primary: string): RpmListedPackage[] =>
  elements(primary, 'package').map(({ content }, i) => ({
    name: textIn(content, 'name'),
    isSource: ['src', 'nosrc'].includes(textIn(content, 'arch')),
    ...listedIn(content, `the primary list has for its package ${i + 1}`),
  }))

const SIZES: Record<ListedDigest['algorithm'], number> = { sha256: 64, sha384: 96, sha512: 128 }
const isListed = (type: string | undefined): type is ListedDigest['algorithm'] => type !== undefined && Object.hasOwn(SIZES, type)

function listedIn(content: string, whose: string): RpmListed {
  const bad = (what: string, hint?: string) => new KeylimeError('invalid_request', `${whose} ${what}`, hint ? { hint } : {})
  const location = /<location\b([^>]*)>/.exec(content)?.[1]
  const path = location === undefined ? undefined : attribute(location, 'href')
  const checksums = elements(content, 'checksum')
  const checksum = checksums.find((one) => isListed(typeOf(one)))
  if (!path || checksums.length === 0) throw bad('no location and digest')
  const algorithm = checksum && typeOf(checksum)
  if (!isListed(algorithm)) {
    const found = checksums.map((one) => typeOf(one) ?? 'no').join(', ')
    throw bad(`a digest of type ${found.slice(0, 40)}, which proves nothing`, 'make the lists again with createrepo_c --checksum sha256')
  }
  const hex = checksum!.content.trim().toLowerCase()
  if (hex.length !== SIZES[algorithm] || /[^0-9a-f]/.test(hex)) throw bad(`a digest that is not a ${algorithm}`)
  const inside = entryPath(path).slice(1)
  if (inside === '') throw bad('a location that is not a file')
  return { path: inside, digest: { algorithm, hex }, base: attribute(location!, 'xml:base') ?? null }
}

interface Element {
  attributes: string
  content: string
}

const typeOf = ({ attributes }: Element) => attribute(attributes, 'type')
const textIn = (content: string, name: string) => unescaped(elements(content, name)[0]?.content.trim() ?? '')

/** Elements of one name that do not nest, which is all that these lists have. Linear in the text. */
function elements(xml: string, name: string): Element[] {
  const found: Element[] = []
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
  const value = new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`).exec(text)
  return value ? unescaped(value[1] ?? value[2]!) : undefined
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const LAST_CHARACTER = 0x10ffff

const unescaped = (text: string) =>
  text.replace(/&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g, (all, name?: string, decimal?: string, hex?: string) => {
    if (name) return ENTITIES[name]!
    const code = decimal ? Number(decimal) : Number.parseInt(hex!, 16)
    return code > LAST_CHARACTER ? all : String.fromCodePoint(code)
  })
