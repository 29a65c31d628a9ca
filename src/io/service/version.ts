declare const KEYLIME_BUILD: BuildFacts | undefined

/** What the build knows of itself. */
interface BuildFacts {
  readonly version: string
  /** Abbreviated hash; `unknown` when it was built from an archive. */
  readonly commit: string
  /** Tracked files differed from the commit. */
  readonly modified: boolean
  /** Day of the commit, ISO 8601. */
  readonly date: string
  readonly tss2: string
  readonly betterSqlite3: string
  readonly zeromq: string
}

/** A run from the sources has none. */
const FACTS: BuildFacts =
  typeof KEYLIME_BUILD === 'object'
    ? KEYLIME_BUILD
    : {
        version: '0.0.0-dev',
        commit: 'unknown',
        modified: false,
        date: '1970-01-01',
        tss2: 'unknown',
        betterSqlite3: 'unknown',
        zeromq: 'unknown',
      }

export const VERSION = FACTS.version

/** Day of the commit that was built, ISO 8601. */
export const RELEASE_DATE = FACTS.date

export interface VersionFacts extends BuildFacts {
  readonly node: string
  readonly openssl: string
  readonly platform: string
  readonly arch: string
}

/** What this executable is, and what it was made of. */
export const versionFacts = (): VersionFacts => ({
  ...FACTS,
  node: process.versions.node,
  openssl: process.versions.openssl,
  platform: process.platform,
  arch: process.arch,
})

/** One fact a line. */
export function versionText(): string {
  const { version, commit, modified, date, node, openssl, tss2, betterSqlite3, zeromq, platform, arch } = versionFacts()
  const lines = [
    `keylime ${version}`,
    `commit ${commit}${modified ? ', with changes' : ''}`,
    `date ${date}`,
    `target ${platform}-${arch}`,
    `node ${node}`,
    `openssl ${openssl}`,
    `tss2 ${tss2}`,
    `better-sqlite3 ${betterSqlite3}`,
    `zeromq ${zeromq}`,
  ]
  return lines.join('\n')
}
