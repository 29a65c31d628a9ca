/** A file as a package brought it. */
export interface PackagedFile {
  package: string
  /** Absolute, as the package has it. */
  path: string
  md5: string
}

/** Lines of `info/PACKAGE.md5sums`. */
export const parseMd5sums = (text: string, name: string): PackagedFile[] =>
  text.split('\n').flatMap((line) => {
    const [, md5, path] = /^([0-9a-f]{32}) [ *](.+)$/.exec(line) ?? []
    return md5 && path ? [{ package: name, path: `/${path.replace(/^\.?\//, '')}`, md5 }] : []
  })

/** Configuration files of all packages in `status`, which no md5sums has. */
export function parseConffiles(status: string): PackagedFile[] {
  return status.split(/\n[ \t]*\n/).flatMap((stanza) => {
    const name = /^Package: (.+)$/m.exec(stanza)?.[1] ?? ''
    const section = /^Conffiles:[ \t]*\n((?: .*(?:\n|$))*)/m.exec(stanza)?.[1] ?? ''
    return section.split('\n').flatMap((line) => {
      const [, path, md5, rest] = /^ (\/.*) ([0-9a-f]{32})( .*)?$/.exec(line) ?? []
      return path && md5 && !rest?.includes('remove-on-upgrade') ? [{ package: name, path, md5 }] : []
    })
  })
}

/** Where files of other packages than `package` go, by the path that they have in these. */
export function parseDiversions(text: string): Map<string, { to: string; package: string }> {
  const lines = text.split('\n')
  const diversions = new Map<string, { to: string; package: string }>()
  for (let i = 0; i + 2 < lines.length; i += 3) diversions.set(lines[i]!, { to: lines[i + 1]!, package: lines[i + 2]! })
  return diversions
}
