import type { RpmFiles } from './rpm-header.ts'
import { algorithmOfRpm, isRegular } from './rpm-header.ts'

/** Asks `rpm -q` for one line a file: package, algorithm, mode, digest, path. */
export const RPM_QUERY =
  '[%{=NAME}-%{=VERSION}-%{=RELEASE}.%{=ARCH}\\t%{=FILEDIGESTALGO}\\t%{FILEMODES}\\t%{FILEDIGESTS}\\t%{FILENAMES}\\n]'

/** What `rpm` printed for `RPM_QUERY`, by package. */
export async function parseRpmQuery(lines: AsyncIterable<string>): Promise<RpmFiles[]> {
  const packages = new Map<string, RpmFiles>()
  for await (const line of lines) {
    const [name, algorithm, mode, digest, ...path] = line.split('\t')
    if (!name || path.length === 0) continue
    const known = packages.get(name) ?? { name, algorithm: algorithmOfRpm(Number(algorithm) || 1), digests: new Map() }
    packages.set(name, known)
    if (isRegular(Number(mode)) && digest && !/^0*$/.test(digest)) known.digests.set(path.join('\t'), digest.toLowerCase())
  }
  return [...packages.values()]
}
