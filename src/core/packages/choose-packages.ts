import { KeylimeError } from '../errors.ts'

/** Those with these names, in each version that is listed; all when none are given. @throws KeylimeError `not_found` for names that no package has. */
export function choosePackages<T extends { name: string }>(packages: readonly T[], names: readonly string[] = []): readonly T[] {
  if (names.length === 0) return packages
  const wanted = new Set(names)
  const chosen = packages.filter(({ name }) => wanted.has(name))
  const found = new Set(chosen.map(({ name }) => name))
  const missing = names.filter((name) => !found.has(name))
  if (missing.length === 0) return chosen
  throw new KeylimeError('not_found', `has no package ${missing.join(', ')}`, {
    hint: `it has ${packages.length} packages; names are written as the repository has them, without version and architecture`,
  })
}
