import { readElf, textAt } from './elf.ts'

/**
 * The newest versions that the executable and its native parts may need of the C and C++ libraries: those of RHEL 9, the oldest system of those that we support
 * (Debian 12 and 13, Ubuntu 22.04 and later, RHEL 9 and its like).
 */
// OpenSSL is the executable's own.
export const FLOOR: Readonly<Record<string, string>> = {
  GLIBC: '2.34',
  GLIBCXX: '3.4.29',
  CXXABI: '1.3.13',
  GCC: '7.0.0',
  OPENSSL: '3.0.0',
}

/** Names of versions that an ELF file needs of the libraries that it is linked to: `GLIBC_2.34`. */
export function neededVersions(bytes: Buffer): string[] {
  const { sections } = readElf(bytes)
  const needs = sections.find(({ name }) => name === '.gnu.version_r')
  const names = needs && sections[needs.link]
  if (!needs || !names) return []
  const found = new Set<string>()
  for (let at = needs.offset, next = 1; next !== 0; at += next) {
    for (let entry = at + bytes.readUInt32LE(at + 8), further = 1; further !== 0; entry += further) {
      found.add(textAt(bytes, names.offset + bytes.readUInt32LE(entry + 8)))
      further = bytes.readUInt32LE(entry + 12)
    }
    next = bytes.readUInt32LE(at + 12)
  }
  return [...found].toSorted()
}

/** Those of `versions` that the oldest supported system does not have. A kind that is not known is one too many. */
export const tooNew = (versions: readonly string[]): string[] =>
  versions.filter((version) => {
    const [, kind = '', number = ''] = /^(\w+?)_([\d.]+)$/.exec(version) ?? []
    const floor = FLOOR[kind]
    return floor === undefined || compareNumbers(number, floor) > 0
  })

function compareNumbers(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number)) as [number[], number[]]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
