import fs from 'node:fs'
import path from 'node:path'
import type { Report } from '../vm/report.ts'
import { contains, equal, type Place, root } from './place.ts'

/** Programs of arm64 take ten times as long here, and more on a busy machine. */
const PATIENCE = '60'

/** For another machine: built by a cross compiler, run by qemu. */
export async function arm64(report: Report, place: Place): Promise<void> {
  const executable = path.join(root, 'dist/arm64/keylime')
  const keylime = place.at('keylime-arm64')
  await report.step('the executable is built, and is one of arm64', async () => {
    place.run('bin/setup', ['arm64'], { cwd: root })
    place.run('npm', ['run', '--silent', 'build', '--', '--arch', 'arm64'], { cwd: root })
    fs.writeFileSync(keylime, `#!/bin/sh\nexec qemu-aarch64 -L /usr/aarch64-linux-gnu ${executable} "$@"\n`, { mode: 0o755 })
    equal((JSON.parse(place.run(keylime, ['version', '--json'])) as { arch: string }).arch, 'arm64')
    equal(fs.statSync(executable).size < 100e6, true, 'a size below 100 MB')
  })
  await report.step('no variable of Node’s does anything', async () => {
    const evil = place.at('evil.cjs')
    fs.writeFileSync(evil, 'console.log("evil")')
    equal(place.run(keylime, ['--version'], { env: { ...process.env, NODE_OPTIONS: `--require ${evil}` } }).includes('evil'), false)
  })
  await report.step('it does the main job: registrar, verifier, agents and tenant, on TPMs of software', async () => {
    contains(place.run('bin/demo', ['--with', keylime, '--patience', PATIENCE], { cwd: root }), 'Every step was checked.')
  })
  await report.step('packages are for arm64, and the image has what the executable is linked to', async () => {
    const out = place.package('arm64', '--arch', 'arm64')
    contains(
      place.run('dpkg-deb', ['--field', path.join(out, fs.readdirSync(out).find((name) => /^keylime_.*\.deb$/.test(name))!)]),
      'Architecture: arm64',
    )
    equal(fs.readdirSync(out).filter((name) => name.endsWith('.aarch64.rpm')).length, 5, 'RPMs')
    const image = path.join(out, fs.readdirSync(out).find((name) => name.includes('-oci-'))!)
    const layer = place.at('layer-arm64')
    fs.mkdirSync(layer)
    const blobs = path.join(image, 'blobs/sha256')
    const largest = fs
      .readdirSync(blobs)
      .toSorted((a, b) => fs.statSync(path.join(blobs, b)).size - fs.statSync(path.join(blobs, a)).size)[0]!
    place.run('tar', ['-xzf', path.join(blobs, largest), '-C', layer])
    contains(place.run('qemu-aarch64', ['-L', layer, path.join(layer, 'usr/bin/keylime'), 'version', '--json']), '"arch":"arm64"')
  })
}
