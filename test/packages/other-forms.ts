import fs from 'node:fs'
import path from 'node:path'
import type { Report } from '../vm/report.ts'
import { contains, equal, type Place, root } from './place.ts'

const NAMES = ['keylime', 'keylime-agent', 'keylime-ca', 'keylime-registrar', 'keylime-verifier']

/** What is not for Debian. */
export async function otherForms(report: Report, place: Place): Promise<void> {
  let out = ''
  const key = place.at('key')
  await report.step('everything is packed and signed', async () => {
    place.run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'release', '-f', key])
    out = place.package('out', '--sign', key)
  })
  await report.step('checksums and signature hold, and a changed file is told', async () => {
    fs.writeFileSync(place.at('allowed'), `release ${fs.readFileSync(`${key}.pub`, 'utf8')}`)
    const verify = ['-Y', 'verify', '-f', place.at('allowed'), '-I', 'release', '-n', 'keylime-release', '-s', 'SHA256SUMS.sig']
    const list = fs.readFileSync(path.join(out, 'SHA256SUMS'), 'utf8')
    place.run('ssh-keygen', verify, { cwd: out, input: list })
    place.run('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: out })
    equal(place.ask('ssh-keygen', verify, { cwd: out, input: list.replace(/^./, '#') }).status === 0, false, 'a changed list that is taken')
    fs.appendFileSync(path.join(out, 'keylime.cdx.json'), ' ')
    equal(place.ask('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: out }).status, 1, 'the status for a changed file')
  })
  await report.step('the bill of materials names what npm and the linker put in', async () => {
    const bom = JSON.parse(fs.readFileSync(path.join(out, 'keylime.cdx.json'), 'utf8')) as {
      bomFormat: string
      components: { name: string; version: string }[]
    }
    equal(bom.bomFormat, 'CycloneDX')
    const { dependencies } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    for (const name of [...Object.keys(dependencies), 'node', 'openssl', 'v8', 'tpm2-tss'])
      equal([name, bom.components.some((component) => component.name === name && component.version !== '')], [name, true], 'a component')
    equal(
      bom.components.filter(({ name }) => ['jest', '@biomejs/biome', 'typescript'].includes(name)),
      [],
      'what only the build needs',
    )
  })
  await report.step('RPMs have the same files, keep configuration, and the executable in them runs', async () => {
    const rpms = fs.readdirSync(out).filter((name) => name.endsWith('.rpm'))
    equal(rpms.map((name) => name.replace(/-\d.*/, '')).toSorted(), NAMES, 'the RPMs')
    const file = (name: string) => path.join(out, rpms.find((rpm) => rpm.replace(/-\d.*/, '') === name)!)
    const ask = (...args: string[]) => place.run('rpm', ['--dbpath', place.at('rpmdb'), ...args])
    contains(ask('-qpl', file('keylime-agent')), '/usr/lib/systemd/system/var-lib-keylime-secure.mount')
    contains(ask('-qp', '--configfiles', file('keylime-verifier')), '/etc/keylime/verifier.conf')
    contains(ask('-qp', '--requires', file('keylime-verifier')), /^keylime = /m)
    contains(ask('-qp', '--scripts', file('keylime')), 'useradd --system')
    const tree = place.at('rpm')
    fs.mkdirSync(tree)
    place.run('sh', ['-c', `rpm2cpio '${file('keylime')}' | cpio --quiet -id`], { cwd: tree })
    contains(place.run(path.join(tree, 'usr/bin/keylime_tenant'), ['--help']), 'usage: keylime_tenant')
  })
  await report.step('the archive has the executable, units and pages', async () => {
    const archive = fs.readdirSync(out).find((name) => name.endsWith('.tar.xz'))!
    const names = place.run('tar', ['-tf', path.join(out, archive)]).split('\n')
    for (const name of [
      'usr/bin/keylime',
      'usr/bin/keylime_tenant',
      'usr/lib/systemd/system/keylime-ca.service',
      'etc/keylime/tenant.conf',
    ])
      equal([name, names.includes(name)], [name, true], 'a file of the archive')
  })
  await report.step('the image: manifest and digests fit, and a verifier starts in it as its user, without a shell', async () => {
    const layout = path.join(out, fs.readdirSync(out).find((name) => name.includes('-oci-'))!)
    const read = (digest: string) => fs.readFileSync(path.join(layout, 'blobs', digest.replace(':', '/')))
    const index = JSON.parse(fs.readFileSync(path.join(layout, 'index.json'), 'utf8'))
    const manifest = JSON.parse(read(index.manifests[0].digest).toString())
    const { config, rootfs } = JSON.parse(read(manifest.config.digest).toString())
    equal([config.User, config.Entrypoint], ['65532:65532', ['/usr/bin/keylime']])
    const tree = place.at('image')
    fs.mkdirSync(tree)
    place.run('tar', ['-xzpf', path.join(layout, 'blobs', manifest.layers[0].digest.replace(':', '/')), '-C', tree])
    equal(rootfs.diff_ids.length, 1)
    for (const file of ['dev', 'proc']) fs.mkdirSync(path.join(tree, file))
    place.run('sh', ['-c', `mknod -m 666 ${tree}/dev/null c 1 3; mknod -m 444 ${tree}/dev/urandom c 1 9`])
    const start = `mount -t proc proc ${tree}/proc; exec timeout 60 chroot --userspec=65532:65532 ${tree} /usr/bin/keylime verifier`
    const env = {
      KEYLIME_DIR: '/var/lib/keylime',
      KEYLIME_VERIFIER_PORT: '18881',
      KEYLIME_REGISTRAR_PORT: '18890',
      KEYLIME_REGISTRAR_TLS_PORT: '18891',
      PATH: '/usr/sbin:/usr/bin',
    }
    const script = `(${start}) > ${tree}.log 2>&1 & for i in $(seq 55); do grep -q 'registrar serves' ${tree}.log && break; sleep 1; done; kill $!; wait; grep 'registrar serves' ${tree}.log || { cat ${tree}.log; exit 1; }`
    place.run('unshare', ['--mount', '--pid', '--fork', 'sh', '-c', script], { env })
    equal(
      fs.readdirSync(path.join(tree, 'usr/bin')).filter((name) => !name.startsWith('keylime')),
      [],
      'other programs',
    )
  })
}
