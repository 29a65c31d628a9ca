import fs from 'node:fs'
import path from 'node:path'
import type { Report } from '../vm/report.ts'
import { type BareDebian, bareDebian } from './bare-debian.ts'
import { contains, equal, type Place } from './place.ts'

const NAMES = ['keylime', 'keylime-agent', 'keylime-verifier', 'keylime-registrar', 'keylime-ca']

/** Installed, used, upgraded, downgraded, removed and purged, in a Debian that has nothing else. */
export async function debianLife(report: Report, place: Place): Promise<void> {
  let debian!: BareDebian
  const sh = (script: string) => debian.sh(script)
  let now = ''
  let next = ''
  await report.step('packages of this version and of the next', async () => {
    now = place.package('now', '--only', 'deb')
    next = place.package('next', '--only', 'deb', '--version', '99.0.0')
  })
  await report.step('lintian has no errors', async () => {
    const { text } = place.ask('lintian', [
      '--allow-root',
      '--fail-on',
      'error',
      '--suppress-tags',
      'bad-distribution-in-changes-file',
      ...debs(now),
    ])
    equal(
      text.split('\n').filter((line) => line.startsWith('E:')),
      [],
      'what lintian calls an error',
    )
    return `${text.split('\n').filter((line) => line.startsWith('W:')).length} warnings`
  })
  await report.step('a bare Debian', async () => {
    debian = bareDebian(place, 'debian', ['libstdc++6', 'passwd'])
    debian.give(now, 'now')
    debian.give(next, 'next')
  })
  let before = ''
  await report.step('dpkg -i: the executable, its names, pages and completions, the user, units that are not started', async () => {
    before = sh('dpkg-query -W | sort; find /etc /usr /var/lib -xdev -not -path "/var/lib/dpkg/*" | sort')
    sh('dpkg -i /packages/now/*.deb')
    contains(sh('keylime --version'), /^keylime \d/)
    contains(sh('keylime_tenant --help'), 'usage: keylime_tenant')
    contains(sh('id keylime'), /uid=\d+\(keylime\).*\(tss\)/)
    contains(sh('keylime agent --check-config 2>&1 || test $? = 2'), /cannot be used:\n {2}trusted_client_ca: .*\nhint:/)
    equal(
      sh('stat -c "%a %U:%G" /var/lib/keylime /etc/keylime/agent.conf /usr/bin/keylime'),
      '750 keylime:keylime\n640 root:keylime\n755 root:root',
    )
    sh('test -e /usr/lib/systemd/system/keylime-agent.service -a -e /usr/share/man/man1/keylime-agent.1.gz')
    sh('test -e /usr/share/man/man1/keylime_tenant.1.gz -a -e /usr/share/bash-completion/completions/keylime')
    equal(sh('ls /etc/systemd/system/multi-user.target.wants 2> /dev/null | grep -c keylime || true'), '0', 'units that are enabled')
    contains(sh('cat /usr/share/doc/keylime/html/guide/install.html'), 'keylime-verifier')
    contains(sh('zcat /usr/share/doc/keylime/third-party-licences.gz'), /^minisearch /m)
    equal(debian.inside('keylime', 'service', 'install', 'verifier', '--yes').status, 5, 'the status of a second service')
    sh('for role in verifier registrar tenant ca; do keylime $role --check-config || test $? = 2; done')
    sh('dpkg --verify')
  })
  await report.step('a verifier makes its state as the user of the package', async () => {
    const verifier = 'setpriv --reuid keylime --regid keylime --init-groups timeout 60 keylime verifier'
    const serves = "grep -q 'registrar serves' /tmp/log"
    sh(
      `${verifier} > /tmp/log 2>&1 & for i in $(seq 55); do ${serves} && break; sleep 1; done; kill $! || true; wait || true; ${serves} || { cat /tmp/log; false; }`,
    )
    sh('test -s /var/lib/keylime/cv_ca/cacert.crt -a -s /var/lib/keylime/cv_data.sqlite')
    sh('touch /var/lib/keylime/agent_data.json')
    sh('keylime config set agent ip 0.0.0.0 --drop-in; keylime config set tenant max_retries 3 --drop-in')
    sh('echo "[verifier]" > /etc/keylime/verifier.conf; echo "port = 4711" >> /etc/keylime/verifier.conf')
  })
  await report.step('an upgrade keeps state and configuration', async () => {
    const state = () => sh('cd /var/lib/keylime; find . -type f | sort | xargs sha256sum; cat /etc/keylime/verifier.conf')
    const kept = state()
    sh('dpkg -i /packages/next/*.deb < /dev/null')
    equal(state(), kept, 'the state')
    contains(sh('dpkg-query -W keylime'), '99.0.0-1')
  })
  await report.step('a downgrade is refused, with what to do, and changes nothing', async () => {
    for (const packages of ['/packages/now/keylime_*.deb', '/packages/now/*.deb']) {
      const { status, text } = debian.inside('sh', '-c', `dpkg -i ${packages}`)
      equal(status === 0, false, 'the refusal')
      contains(text, 'keylime: error: 99.0.0-1 is installed')
      contains(text, 'keylime: hint: restore the backup')
      for (const name of NAMES) contains(sh(`dpkg -s ${name}`), /Status: install ok installed[\s\S]*Version: 99\.0\.0-1/)
    }
    sh('KEYLIME_DOWNGRADE=yes dpkg -i /packages/now/*.deb < /dev/null')
  })
  await report.step('remove keeps state and configuration; purge of a role takes what is its own', async () => {
    sh('dpkg -r keylime-verifier keylime-agent')
    sh('test -s /var/lib/keylime/cv_data.sqlite -a -s /etc/keylime/verifier.conf -a -e /var/lib/keylime/agent_data.json')
    sh('dpkg -P keylime-agent')
    sh('test ! -e /var/lib/keylime/agent_data.json -a ! -e /etc/keylime/agent.conf -a -s /var/lib/keylime/cv_data.sqlite')
  })
  await report.step('purge of all leaves nothing but the user', async () => {
    sh('dpkg -P keylime-registrar && keylime config set registrar ip 0.0.0.0 && test -e /etc/keylime/registrar.conf')
    sh(`dpkg -P ${NAMES.join(' ')}`)
    const after = sh('dpkg-query -W | sort; find /etc /usr /var/lib -xdev -not -path "/var/lib/dpkg/*" | sort')
    const ofUser = /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$/
    const [was, is] = [before, after].map((text) => text.split('\n').filter((line) => !ofUser.test(line)))
    equal(
      is!.filter((line) => !was!.includes(line)),
      [],
      'what is left',
    )
    equal(
      was!.filter((line) => !is!.includes(line)),
      [],
      'what is missing',
    )
    contains(sh('id keylime'), 'keylime')
  })
}

const debs = (directory: string): string[] =>
  fs
    .readdirSync(directory)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => path.join(directory, name))
