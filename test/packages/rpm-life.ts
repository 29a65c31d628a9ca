import fs from 'node:fs'
import type { Report } from '../vm/report.ts'
import { type BareDebian, bareDebian } from './bare-debian.ts'
import { contains, equal, type Place } from './place.ts'

const NAMES = ['keylime', 'keylime-agent', 'keylime-ca', 'keylime-registrar', 'keylime-verifier']

/**
 * Installed, upgraded, downgraded and removed by rpm with its own database. The system below it is a Debian: what the packages need of it (glibc, libstdc++, useradd)
 * is there, under other names.
 */
export async function rpmLife(report: Report, place: Place): Promise<void> {
  let system!: BareDebian
  const sh = (script: string) => system.sh(script)
  const rpm = 'rpm --force-debian --nodeps'
  const versions = () => sh('rpm -qa --qf "%{NAME} %{VERSION}\\n" | sort').split('\n')
  const all = (version: string) => NAMES.map((name) => `${name} ${version}`)
  let now = ''
  await report.step('RPMs of this version and of the next, and a system with rpm', async () => {
    const packages = place.package('rpm-now', '--only', 'rpm')
    now = /^keylime-(\d[^-]*)-/.exec(fs.readdirSync(packages).find((name) => /^keylime-\d.*\.rpm$/.test(name))!)![1]!
    system = bareDebian(place, 'rpm-system', ['libstdc++6', 'passwd', 'rpm'])
    system.give(packages, 'now')
    system.give(place.package('rpm-next', '--only', 'rpm', '--version', '99.0.0'), 'next')
  })
  await report.step('rpm -i: the executable, its names, pages and completions, the user, units that are not started', async () => {
    sh(`${rpm} -i /packages/now/*.rpm`)
    equal(versions(), all(now), 'the packages')
    contains(sh('keylime --version'), /^keylime \d/)
    contains(sh('keylime_tenant --help'), 'usage: keylime_tenant')
    equal(
      sh('stat -c "%a %U:%G" /var/lib/keylime /etc/keylime/agent.conf /usr/bin/keylime'),
      '750 keylime:keylime\n640 root:keylime\n755 root:root',
    )
    sh('test -e /usr/lib/systemd/system/keylime-agent.service -a -e /usr/share/man/man1/keylime-agent.1.gz')
    sh('rpm -V --nodeps keylime keylime-verifier')
  })
  await report.step('an upgrade keeps state and configuration', async () => {
    sh('echo state > /var/lib/keylime/cv_data.sqlite; echo "[verifier]" > /etc/keylime/verifier.conf')
    sh(`${rpm} -U /packages/next/*.rpm`)
    equal(versions(), all('99.0.0'), 'the packages')
    equal(sh('cat /var/lib/keylime/cv_data.sqlite /etc/keylime/verifier.conf'), 'state\n[verifier]', 'what is kept')
  })
  await report.step('a downgrade is refused, with what to do, and changes nothing', async () => {
    const executable = sh('sha256sum /usr/bin/keylime; ls -l --time-style=full-iso /usr/bin/keylime')
    for (const packages of ['/packages/now/keylime-[0-9]*.rpm', '/packages/now/*.rpm']) {
      const { status, text } = system.inside('sh', '-c', `${rpm} -U --oldpackage ${packages}`)
      equal(status === 0, false, 'the refusal')
      contains(text, `keylime: error: 99.0.0-1 is installed, and ${now}-1 is older`)
      contains(text, 'keylime: hint: restore the backup')
      equal(versions(), all('99.0.0'), 'the packages')
    }
    equal(sh('sha256sum /usr/bin/keylime; ls -l --time-style=full-iso /usr/bin/keylime'), executable, 'the executable')
    sh(`KEYLIME_DOWNGRADE=yes ${rpm} -U --oldpackage /packages/now/*.rpm`)
    equal(versions(), all(now), 'the packages')
  })
  await report.step('the same version again, and one package alone, are no downgrade', async () => {
    sh(`${rpm} -U --replacepkgs /packages/now/*.rpm`)
    sh(`${rpm} -e keylime-agent; ${rpm} -i /packages/now/keylime-agent-*.rpm`)
  })
  await report.step('removal keeps state and the configuration that was changed', async () => {
    sh(`${rpm} -e ${NAMES.join(' ')}`)
    equal(versions(), [''], 'the packages')
    sh('test ! -e /usr/bin/keylime -a ! -e /etc/keylime/agent.conf')
    equal(sh('cat /var/lib/keylime/cv_data.sqlite /etc/keylime/verifier.conf*'), 'state\n[verifier]', 'what is kept')
  })
}
