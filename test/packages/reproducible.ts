import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { Report } from '../vm/report.ts'
import { equal, type Place, root } from './place.ts'

const digest = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex')
/** Another day, for everything that the build starts. */
const LATER = { LD_PRELOAD: '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1', FAKETIME: '+40d', FAKETIME_DONT_FAKE_MONOTONIC: '1' }

/** One commit gives one file, wherever and whenever it is built. */
export async function reproducible(report: Report, place: Place): Promise<void> {
  await report.step('bin/keylime is that of this commit', async () => {
    const facts = JSON.parse(place.run(path.join(root, 'bin/keylime'), ['version', '--json'])) as { commit: string; modified: boolean }
    const head = place.run('git', ['log', '-1', '--abbrev=12', '--format=%h'], { cwd: root }).trim()
    equal([facts.commit, facts.modified], [head, false], 'bin/keylime (commit what you changed, then `npm run build`)')
  })
  const other = place.at('somewhere', 'else', 'deeper', 'keylime')
  await report.step('built in another folder, on another day, it is the same byte for byte', async () => {
    fs.mkdirSync(path.dirname(other), { recursive: true })
    place.run('git', ['clone', '--quiet', '--no-hardlinks', root, other])
    place.run('git', ['checkout', '--quiet', '--detach', place.run('git', ['rev-parse', 'HEAD'], { cwd: root }).trim()], { cwd: other })
    place.run('cp', ['-a', path.join(root, 'node_modules'), other])
    const faked = fs.existsSync(LATER.LD_PRELOAD) ? LATER : {}
    place.run('npm', ['run', '--silent', 'build'], { cwd: other, env: { ...process.env, ...faked, TZ: 'Asia/Tokyo', LC_ALL: 'C' } })
    equal(digest(path.join(other, 'bin/keylime')), digest(path.join(root, 'bin/keylime')), 'the digest of the executable')
    return faked === LATER ? undefined : 'on the same day: there is no libfaketime'
  })
  await report.step('packages that are made twice are the same byte for byte', async () => {
    const [one, two] = [place.package('one', '--only', 'deb,rpm,oci'), place.package('two', '--only', 'deb,rpm,oci')]
    equal(
      fs.readFileSync(path.join(one, 'SHA256SUMS'), 'utf8'),
      fs.readFileSync(path.join(two, 'SHA256SUMS'), 'utf8'),
      'the list of checksums',
    )
  })
  fs.rmSync(other, { recursive: true, force: true })
}
