import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Report } from '../vm/report.ts'
import { bareDebian } from './bare-debian.ts'
import { contains, equal, type Place } from './place.ts'

/** A systemd of its own in namespaces, as a container has it; not by chroot, in which no user namespace can be made (PrivateUsers=). */
const BOOT = `
mount --make-rprivate /; mount --bind $0 $0; cd $0
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd 2> /dev/null || mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp; mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; mount -t tmpfs tmpfs dev/shm
: > etc/machine-id
mkdir -p .before; pivot_root . .before; umount -l /.before
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other /lib/systemd/systemd --unit=multi-user.target`

/** Without credentials: systemd cannot mount them for a user in here. The VM suite has them. */
const WITHOUT_CREDENTIALS = `for role in verifier registrar; do
  mkdir -p /etc/systemd/system/keylime-$role.service.d
  printf '[Service]\\nLoadCredential=\\n' > /etc/systemd/system/keylime-$role.service.d/none.conf
done
systemctl daemon-reload`

/** What the packages do where systemd runs, and what `keylime doctor` says of a service in each of its states. */
export async function underSystemd(report: Report, place: Place): Promise<void> {
  let child: ChildProcess | undefined
  const sh = (script: string): string => {
    const enter = ['-t', systemdOf(child!), '-a', 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C', 'sh', '-ec', script]
    return place.run('nsenter', enter).trim()
  }
  const doctor = (role = 'verifier') => sh(`keylime doctor ${role} || true`)
  const pid = () => sh('systemctl show --property MainPID --value keylime-verifier')
  try {
    await report.step('a Debian with systemd as its first process', async () => {
      const debian = bareDebian(place, 'booted', ['libstdc++6', 'passwd', 'systemd-sysv', 'dbus'])
      for (const [name, ...args] of [['now'], ['next', '--version', '99.0.0']] as const) {
        if (!fs.existsSync(place.at(name))) place.package(name, '--only', 'deb', ...args)
        debian.give(place.at(name), name)
      }
      child = spawn(
        'unshare',
        ['--pid', '--fork', '--mount', '--uts', '--ipc', '--cgroup', '--kill-child', 'sh', '-ec', BOOT, debian.directory],
        {
          stdio: 'ignore',
        },
      )
      for (let tries = 0; ; tries++) {
        const { text } = place.ask('nsenter', ['-t', systemdOf(child) || '0', '-a', 'systemctl', 'is-system-running'])
        if (/running|degraded/.test(text)) break
        if (tries > 120) throw new Error(`systemd does not come up: ${text}`)
        await sleep(500)
      }
    })
    await report.step('a service that is enabled is ready when systemctl returns; its package starts nothing by itself', async () => {
      sh('dpkg -i /packages/now/keylime_*.deb /packages/now/keylime-verifier_*.deb')
      sh(WITHOUT_CREDENTIALS)
      contains(doctor(), 'note    service: keylime-verifier.service is inactive (dead)')
      sh('systemctl enable --now keylime-verifier')
      contains(doctor(), 'ok      service: keylime-verifier.service is active (running)')
      contains(sh('keylime tenant list'), 'no machine is known')
    })
    await report.step('doctor tells a service that is not there, not enabled, restarted, failing and masked', async () => {
      contains(doctor('registrar'), 'note    service: there is no keylime-registrar.service')
      sh('systemctl disable keylime-verifier')
      contains(doctor(), /warning service: keylime-verifier\.service is not enabled\n.*\n +\$ systemctl enable keylime-verifier/)
      const before = pid()
      sh(
        'systemctl kill --signal KILL keylime-verifier; for i in $(seq 60); do sleep 1; systemctl --quiet is-active keylime-verifier && break; done',
      )
      equal(pid() === before, false, 'the same process')
      contains(doctor(), /warning service: keylime-verifier\.service was restarted 1 times/)
      sh(
        'cp -p /etc/keylime/verifier.conf /tmp; sed -i "s/^port = .*/port = 9x/" /etc/keylime/verifier.conf; ! systemctl restart keylime-verifier',
      )
      contains(doctor(), /ERROR {3}service: keylime-verifier\.service fails \(exit-code, exit code 2/)
      sh('cp -p /tmp/verifier.conf /etc/keylime; systemctl stop keylime-verifier; systemctl mask keylime-verifier')
      contains(doctor(), 'ERROR   service: systemd cannot read keylime-verifier.service (masked)')
      sh('systemctl unmask keylime-verifier; systemctl reset-failed; systemctl enable --now keylime-verifier')
    })
    await report.step('the units are as closed as the guide says, to systemd of this Debian', async () => {
      sh('dpkg -i /packages/now/keylime-registrar_*.deb /packages/now/keylime-agent_*.deb /packages/now/keylime-ca_*.deb')
      const exposure = (role: string) =>
        Number(/level for .*: ([\d.]+)/.exec(sh(`systemd-analyze security --no-pager keylime-${role}`))![1])
      const found = ['verifier', 'registrar', 'ca', 'agent'].map((role) => [role, exposure(role)] as const)
      const tooOpen = found.filter(([role, level]) => level > (role === 'agent' ? 5 : 3))
      equal(tooOpen, [], 'what is too open')
      sh('dpkg -P keylime-agent keylime-ca')
      return found.map(([role, level]) => `${role} ${level}`).join(', ')
    })
    await report.step('an upgrade restarts a service that runs with the new executable and its state, and starts none', async () => {
      const state = () => sh('cd /var/lib/keylime; sha256sum cv_ca/cacert.crt cv_ca/private.yml notifier-private.pem')
      const [before, kept] = [pid(), state()]
      sh('dpkg -i /packages/next/keylime_*.deb /packages/next/keylime-verifier_*.deb /packages/next/keylime-registrar_*.deb < /dev/null')
      sh('for i in $(seq 60); do keylime tenant list > /dev/null 2>&1 && break; sleep 1; done')
      contains(sh('keylime tenant list'), 'no machine is known')
      equal(pid() === before, false, 'the same process')
      contains(
        sh('dpkg-query -W keylime-verifier; cmp /proc/$(systemctl show --property MainPID --value keylime-verifier)/exe /usr/bin/keylime'),
        '99.0.0',
      )
      equal(state(), kept, 'the state')
      equal(sh('systemctl is-active keylime-registrar || true'), 'inactive', 'the registrar that did not run')
    })
    await report.step('purge stops the service', async () => {
      sh('dpkg -P keylime-verifier')
      equal(
        sh('systemctl is-active keylime-verifier || true; for exe in /proc/[0-9]*/exe; do readlink $exe; done | grep keylime || true'),
        'inactive',
        'the service',
      )
    })
  } finally {
    child?.kill('SIGKILL')
  }
}

/** The first process in its namespace, as this one sees it; empty before it is there. */
function systemdOf({ pid }: ChildProcess): string {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]!
}
