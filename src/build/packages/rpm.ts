import fs from 'node:fs'
import path from 'node:path'
import { configurationOf, DESCRIPTION, layOut, PACKAGES, type PackageName, roleOf, SUMMARY } from './contents.ts'
import { HOW_TO_BEGIN, MAKE_TPM_GROUP, MAKE_USER, refuseOlderRpm, restartRunning } from './maintainer-scripts.ts'
import { filesBelow, makeDirectory, put, type Release, RPM_ARCH, run } from './release.ts'

/** Makes an RPM of each package, with the same files. @returns the files. */
export function rpmPackages(release: Release, { work, out }: { work: string; out: string }): string[] {
  for (const name of PACKAGES) layOut(name, path.join(work, 'trees', name), release)
  const spec = path.join(work, 'keylime.spec')
  put(spec, specFile(release, path.join(work, 'trees')))
  const made = path.join(work, 'rpms')
  makeDirectory(made)
  const defines = {
    _topdir: path.join(work, 'rpmbuild'),
    _dbpath: path.join(work, 'db'),
    _rpmdir: made,
    _rpmfilename: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
    _build_id_links: 'none',
    _buildhost: 'localhost',
    _binary_payload: 'w3.zstdio',
    __os_install_post: '%{nil}',
    debug_package: '%{nil}',
    use_source_date_epoch_as_buildtime: '1',
    clamp_mtime_to_source_date_epoch: '1',
    source_date_epoch_from_changelog: '0',
  }
  const options = Object.entries(defines).flatMap(([name, value]) => ['--define', `${name} ${value}`])
  run(release, 'rpmbuild', ['-bb', '--quiet', '--target', RPM_ARCH[release.arch], ...options, spec])
  return fs
    .readdirSync(made)
    .toSorted()
    .map((name) => {
      fs.copyFileSync(path.join(made, name), path.join(out, name))
      return path.join(out, name)
    })
}

/** Requirements are written down, not searched: the executable is the same on all systems. */
function specFile(release: Release, trees: string): string {
  const date = new Date(release.epoch * 1000).toUTCString().replace(/^(\w+), (\d+) (\w+) (\d+).*/, '$1 $3 $2 $4')
  return `Name: keylime
Version: ${release.version}
Release: 1
Summary: ${SUMMARY.keylime}
License: Apache-2.0
AutoReqProv: no
Requires: glibc >= 2.34, libstdc++ >= 11, shadow-utils
Provides: user(keylime), group(keylime)

%description
${DESCRIPTION('keylime')}

${PACKAGES.filter((name) => name !== 'keylime')
  .map((name) => packageSection(name))
  .join('\n')}
%install
${PACKAGES.map((name) => `mkdir -p %{buildroot} && cp -a ${path.join(trees, name)}/. %{buildroot}/`).join('\n')}

${PACKAGES.map((name) => filesSection(name, path.join(trees, name))).join('\n')}
${scriptlets(`${release.version}-1`)}
%changelog
* ${date} The keylime developers <keylime@example.org> - ${release.version}-1
- Release ${release.version}: see /usr/share/doc/keylime/changelog.gz.
`
}

const packageSection = (name: PackageName): string => `%package -n ${name}
Summary: ${SUMMARY[name]}
AutoReqProv: no
Requires: keylime = %{version}-%{release}
${name === 'keylime-agent' ? 'Recommends: tpm2-tss\n' : ''}
%description -n ${name}
${DESCRIPTION(name)}
`

function filesSection(name: PackageName, tree: string): string {
  const role = roleOf(name)
  const configuration = configurationOf((role ?? 'tenant') as never)
  const lines = filesBelow(tree).map((file) => {
    const place = `/${file}`.replaceAll('\\', '\\\\')
    if (place !== configuration) return `"${place}"`
    return role ? `%config(noreplace) %attr(0640,root,keylime) ${place}` : `%config(noreplace) ${place}`
  })
  return `%files -n ${name}\n%defattr(-,root,root,-)\n${lines.join('\n')}\n`
}

/** The number after the operation says how many of the package there will be (1: first installation, 0: gone). @param version with the release. */
function scriptlets(version: string): string {
  const roles = PACKAGES.flatMap((name) => roleOf(name) ?? [])
  return [
    `%pre -n keylime\n${refuseOlderRpm('keylime', version)}\n${MAKE_USER}\n`,
    ...roles.map(
      (role) => `%pre -n keylime-${role}\n${refuseOlderRpm(`keylime-${role}`, version)}\n${role === 'agent' ? `${MAKE_TPM_GROUP}\n` : ''}`,
    ),
    ...roles.map((role) => `%post -n keylime-${role}\nif [ "$1" = 1 ]; then ${HOW_TO_BEGIN(role)}; fi\n${restartRunning(role)}\n`),
    ...roles.map(
      (role) =>
        `%preun -n keylime-${role}\nif [ "$1" = 0 ] && [ -d /run/systemd/system ]; then systemctl disable --now keylime-${role}.service || true; fi\n`,
    ),
  ].join('\n')
}
