declare const KEYLIME_VERSION: string | undefined
declare const KEYLIME_COMMIT: string | undefined
declare const KEYLIME_DATE: string | undefined
declare const KEYLIME_TSS: string | undefined

/** Set by the build; a run from the sources has none. */
export const VERSION = typeof KEYLIME_VERSION === 'string' ? KEYLIME_VERSION : '0.0.0-dev'

/** Day of the commit that was built, ISO 8601. */
export const RELEASE_DATE = typeof KEYLIME_DATE === 'string' ? KEYLIME_DATE : '1970-01-01'

/** Version, commit, Node and tss2, one a line. */
export function versionText(): string {
  const commit = typeof KEYLIME_COMMIT === 'string' ? KEYLIME_COMMIT : 'unknown'
  const tss = typeof KEYLIME_TSS === 'string' ? KEYLIME_TSS : 'unknown'
  return `keylime ${VERSION}\ncommit ${commit}\nnode ${process.versions.node}\ntss2 ${tss}`
}
