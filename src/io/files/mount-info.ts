import fs from 'node:fs'

/** A line of /proc/self/mountinfo (proc(5)). */
export interface MountEntry {
  /** `major:minor` */
  device: string
  /** Directory of the mounted file system that is shown here; `/` unless it is a bind mount of a part. */
  root: string
  mountPoint: string
  /** Options of this mount. */
  options: string[]
  type: string
  /** Options of the file system. */
  superOptions: string[]
}

/** Later lines lie on top of earlier ones with the same mount point. Lines that make no sense are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ')
    const separator = fields.indexOf('-', 6)
    if (separator < 0 || fields.length < separator + 4) return []
    return [
      {
        device: fields[2]!,
        root: unescaped(fields[3]!),
        mountPoint: unescaped(fields[4]!),
        options: fields[5]!.split(','),
        type: fields[separator + 1]!,
        superOptions: fields[separator + 3]!.split(','),
      },
    ]
  })
}

/** The mount that is seen at `directory` (an absolute, normalised path), if one is exactly there. */
export const mountAt = (directory: string): MountEntry | undefined =>
  parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'utf8')).findLast((entry) => entry.mountPoint === directory)

/** Options of the mount on which a directory lies, those of its file system too; undefined when it cannot be found out. */
export function mountOptionsOf(directory: string): string[] | undefined {
  try {
    const real = fs.realpathSync(directory)
    const inside = (mountPoint: string) => mountPoint === '/' || real === mountPoint || real.startsWith(`${mountPoint}/`)
    const entries = parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'utf8')).filter(({ mountPoint }) => inside(mountPoint))
    const longest = Math.max(...entries.map(({ mountPoint }) => mountPoint.length))
    const entry = entries.findLast(({ mountPoint }) => mountPoint.length === longest)
    return entry && [...entry.options, ...entry.superOptions]
  } catch {
    return undefined
  }
}

/** Blank, tab, newline and backslash are written as `\040` and so on. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
