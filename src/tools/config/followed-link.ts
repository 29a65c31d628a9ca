import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'

export interface FileToChange {
  /** Where it is: the end of links. */
  readonly place: string
  readonly text: string
  readonly mode: number
}

/**
 * Reads a file that may lie in a directory of another user, such as a service. A link stays one: what it points to is meant. But nobody has root read or change
 * a file for him that is not his. @throws KeylimeError `refused` for such a link; what the system says otherwise.
 */
export function readFollowed(file: string): FileToChange {
  const named = path.join(followedDirectory(path.dirname(file)), path.basename(file))
  const link = linkAt(named)
  const place = link ? fs.realpathSync(named) : named
  return { place, ...readOpen(fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW), file, link) }
}

/** The same for a file that is only read: also a pipe. */
export function textFollowed(file: string): string {
  const link = linkAt(file)
  return readOpen(fs.openSync(file, fs.constants.O_RDONLY | (link ? 0 : fs.constants.O_NOFOLLOW)), file, link).text
}

function readOpen(handle: number, file: string, link: fs.Stats | null): Omit<FileToChange, 'place'> {
  try {
    const found = fs.fstatSync(handle) // of what is read, whatever became of the link
    if (link) refuseForeign(file, link, found)
    return { text: fs.readFileSync(handle, 'utf8'), mode: found.mode & 0o777 }
  } finally {
    fs.closeSync(handle)
  }
}

/** @returns the directory at the end of a link, or as it is where there is none. @throws KeylimeError `refused` for a link as above. */
export function followedDirectory(directory: string): string {
  const link = linkAt(directory)
  if (!link) return directory
  const place = fs.realpathSync(directory)
  refuseForeign(directory, link, fs.statSync(place))
  return place
}

function linkAt(place: string): fs.Stats | null {
  const found = fs.lstatSync(place, { throwIfNoEntry: false })
  return found?.isSymbolicLink() ? found : null
}

function refuseForeign(file: string, link: fs.Stats, target: fs.Stats): void {
  if (link.uid === 0 || link.uid === process.geteuid?.() || link.uid === target.uid) return
  throw new KeylimeError(
    'refused',
    `${file} is a link, made by the user with the id ${link.uid}, to a file that is not theirs; nothing was changed`,
    {
      hint: 'if you want this, make the link yourself; otherwise someone is trying to make you change or read another file',
    },
  )
}

/** Links of an image mean places in the image: followed from here, they lead to the files of this machine. @throws KeylimeError `refused`. */
export function refuseOutside(place: string, root: string | undefined): void {
  if (root === undefined || !fs.existsSync(root)) return
  let there = path.resolve(place)
  while (!fs.existsSync(there)) there = path.dirname(there)
  const [first] = path.relative(fs.realpathSync(root), fs.realpathSync(there)).split(path.sep)
  if (first !== '..') return
  throw new KeylimeError('refused', `${place} leads out of ${root} by a link; nothing was changed`, {
    hint: 'change it in the running image, or name the file itself with --config, without --root',
  })
}
