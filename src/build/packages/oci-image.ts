import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { gzip, KEYLIME_DIR } from './contents.ts'
import { licenceTexts } from './licences.ts'
import { DEBIAN_ARCH, makeDirectory, put, type Release, run, TAR } from './release.ts'

/** Who runs in it: nobody that a host knows. */
const USER = 65532
/** Of arm64. */
const LOADER = '/lib/ld-linux-aarch64.so.1'
/** What the executable is linked to (ld.so(8) names them); no shell, no package manager, nothing else. */
const LIBRARIES = /=> (\/\S+)|^\s*(\/\S*ld-linux\S*)/

/**
 * An image in the layout of the Open Container Initiative, from the executable and the C library alone, for `skopeo copy oci:…` and the like.
 * @returns the directory.
 */
export function ociImage(release: Release, { work, out }: { work: string; out: string }): string {
  const layout = path.join(out, `keylime-${release.version}-oci-${release.arch}`)
  makeDirectory(path.join(layout, 'blobs/sha256'))
  const tar = layerOf(release, work)
  const layer = blob(layout, gzip(tar))
  const config = blob(layout, JSON.stringify(configuration(release, digestOf(tar))))
  const manifest = blob(
    layout,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer }],
    }),
  )
  const name = { 'org.opencontainers.image.ref.name': release.version }
  const index = { schemaVersion: 2, manifests: [{ mediaType: MANIFEST, ...manifest, annotations: name }] }
  put(path.join(layout, 'index.json'), JSON.stringify(index))
  put(path.join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  return layout
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

function layerOf(release: Release, work: string): Buffer {
  const tree = path.join(work, 'image')
  const at = (file: string) => path.join(tree, file)
  put(at('usr/bin/keylime'), fs.readFileSync(release.executable), 0o755)
  for (const link of release.links) fs.symlinkSync('keylime', at(`usr/bin/${link}`))
  for (const file of librariesOf(release)) put(at(file), fs.readFileSync(path.join(release.sysroot, file)), 0o755)
  put(at('etc/passwd'), `root:x:0:0:root:/:/sbin/nologin\nkeylime:x:${USER}:${USER}:Keylime:${KEYLIME_DIR}:/sbin/nologin\n`)
  put(at('etc/group'), `root:x:0:\ntss:x:59:keylime\nkeylime:x:${USER}:\n`)
  put(at('etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n')
  put(at('usr/share/doc/keylime/third-party-licences'), licenceTexts(release.root))
  makeDirectory(at(KEYLIME_DIR))
  const made = path.join(work, 'layer.tar')
  const pack = (mode: string, ...rest: string[]) =>
    run(release, 'tar', [mode, '--file', made, `--mtime=@${release.epoch}`, '--directory', tree, ...rest])
  pack('--create', ...TAR, '--exclude=./var', '.')
  pack(
    '--append',
    '--format=gnu',
    '--no-recursion',
    `--owner=${USER}`,
    `--group=${USER}`,
    '--numeric-owner',
    '--mode=0750',
    `.${KEYLIME_DIR}`,
  )
  return fs.readFileSync(made)
}

/** Of another machine, its loader lists them, as ldd(1) has it done: it names itself by where it is here. */
function librariesOf(release: Release): string[] {
  const [program, ...before] = [...release.runner, ...(release.sysroot ? [`${release.sysroot}${LOADER}`, '--list'] : ['ldd'])]
  const text = run(release, program!, [...before, release.executable])
  const names = text.replaceAll(`=> ${release.sysroot}/`, '=> /').split('\n')
  const found = names.flatMap((line) => {
    const [, linked, loader] = LIBRARIES.exec(line) ?? []
    return linked ?? loader ?? []
  })
  return [...new Set(found)].toSorted()
}

const configuration = (release: Release, diffId: string) => ({
  created: new Date(release.epoch * 1000).toISOString(),
  architecture: DEBIAN_ARCH[release.arch],
  os: 'linux',
  config: {
    User: `${USER}:${USER}`,
    Env: ['PATH=/usr/bin', `KEYLIME_DIR=${KEYLIME_DIR}`],
    Entrypoint: ['/usr/bin/keylime'],
    Cmd: ['--help'],
    WorkingDir: KEYLIME_DIR,
    Volumes: { [KEYLIME_DIR]: {} },
    Labels: {
      'org.opencontainers.image.title': 'keylime',
      'org.opencontainers.image.version': release.version,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
  },
  rootfs: { type: 'layers', diff_ids: [diffId] },
})

function blob(layout: string, content: string | Uint8Array): { digest: string; size: number } {
  const bytes = Buffer.from(content)
  const digest = digestOf(bytes)
  put(path.join(layout, 'blobs/sha256', digest.slice('sha256:'.length)), bytes)
  return { digest, size: bytes.length }
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
