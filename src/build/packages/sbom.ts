import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { type Release, run } from './release.ts'

interface Component {
  type: string
  name: string
  version: string
  purl?: string
  licenses?: unknown[]
}

interface Bom {
  serialNumber: string
  metadata: { timestamp: string; component: Component }
  components: Component[]
  dependencies?: unknown[]
}

/** Parts of Node that have versions of their own and are code of the executable. */
const OF_NODE: Readonly<Record<string, string>> = {
  v8: 'BSD-3-Clause',
  uv: 'MIT',
  openssl: 'Apache-2.0',
  zlib: 'Zlib',
  brotli: 'MIT',
  zstd: 'BSD-3-Clause',
  ares: 'MIT',
  nghttp2: 'MIT',
  llhttp: 'MIT',
  simdutf: 'MIT',
  simdjson: 'Apache-2.0',
  ada: 'MIT',
  icu: 'Unicode-3.0',
  sqlite: 'blessing',
}

/**
 * What the executable is made of, in CycloneDX: npm's list of the packages that are shipped, and the native parts, which npm does not know. The same for the
 * same commit: its number follows from its content, its date is that of the commit.
 */
export function billOfMaterials(release: Release): Bom {
  const npm = ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only']
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] ?? '/nonexistent' }
  const bom = JSON.parse(execFileSync('npm', npm, { cwd: release.root, env, encoding: 'utf8', maxBuffer: 1 << 26 })) as Bom
  bom.metadata.timestamp = new Date(release.epoch * 1000).toISOString()
  bom.metadata.component = { ...bom.metadata.component, type: 'application', name: 'keylime', version: release.version }
  bom.components.push(...nativeParts(release))
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...bom, serialNumber: '' }))
    .digest('hex')
  bom.serialNumber = `urn:uuid:${digest.slice(0, 8)}-${digest.slice(8, 12)}-5${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`
  return bom
}

function nativeParts(release: Release): Component[] {
  const facts = JSON.parse(run(release, `${release.root}/bin/keylime`, ['version', '--json'])) as Record<string, string>
  const versions = process.versions as Readonly<Record<string, string | undefined>>
  const parts = Object.entries(OF_NODE).flatMap(([name, license]) => (versions[name] ? [part(name, versions[name], license)] : []))
  return [
    part('node', facts['node']!, 'MIT', `pkg:github/nodejs/node@v${facts['node']}`),
    ...parts,
    part('tpm2-tss', facts['tss2']!, 'BSD-2-Clause', `pkg:github/tpm2-software/tpm2-tss@${facts['tss2']}`),
  ]
}

const part = (name: string, version: string, id: string, purl = `pkg:generic/${name}@${version}`): Component => ({
  type: 'library',
  name,
  version,
  purl,
  licenses: [{ license: { id } }],
})
