import { CONFIGURED_ROLES } from '../../config/tables.ts'
import { type ServiceRole, STATE } from '../../tools/service/service-role.ts'
import { knowsNoswap, mountUnitName } from '../../tools/service/unit-text.ts'
import { configurationOf, KEYLIME_DIR, type PackageName, roleOf, USER } from './contents.ts'

/** What dpkg runs (Debian Policy, chapter 6), by file name. RPM's scriptlets are made of the same pieces. */
export type Scripts = Readonly<Record<string, string>>

/** @param version of the package, as dpkg compares it. */
export function maintainerScripts(name: PackageName, version: string): Scripts {
  const role = roleOf(name)
  const scripts: Record<string, string> = role ? ofRole(role, version) : ofProgram(version)
  return Object.fromEntries(Object.entries(scripts).map(([file, body]) => [file, `#!/bin/sh\nset -e\n\n${body}\nexit 0\n`]))
}

/** The user and the directory for keys and state. What is there already is not touched. */
export const MAKE_USER = `if ! getent passwd ${USER} > /dev/null; then
  useradd --system --user-group --home-dir ${KEYLIME_DIR} --no-create-home --shell /usr/sbin/nologin ${USER}
fi
if getent group tss > /dev/null; then
  usermod --append --groups tss ${USER}
fi
if [ ! -d ${KEYLIME_DIR} ]; then
  install -d -m 0750 -o ${USER} -g ${USER} ${KEYLIME_DIR}
fi`

/** Who may use the TPM, and what the agent becomes (`run_as`): packages of the TPM's software make the same, and few machines need them otherwise. */
export const MAKE_TPM_GROUP = `if ! getent group tss > /dev/null; then
  groupadd --system tss
fi
usermod --append --groups tss ${USER}`

/**
 * A database of a newer version is refused by an older program: better before anything is replaced. Each package looks for itself, as the package managers would
 * replace the others when one refuses. @param isOlder a test of the shell: `$installed` is newer than what comes. @param version of what comes.
 */
const refuseDowngrade = (
  isOlder: string,
  version: string,
): string => `if [ -n "$installed" ] && ${isOlder} && [ "\${KEYLIME_DOWNGRADE:-}" != yes ]; then
  echo "keylime: error: $installed is installed, and ${version} is older: it may not be able to read its state" >&2
  echo "keylime: hint: restore the backup that you made before the upgrade, and set KEYLIME_DOWNGRADE=yes" >&2
  exit 1
fi`

/** @param version of the package, as dpkg compares it. */
const refuseOlderDebian = (version: string): string => `case "$1" in
install | upgrade)
  installed=$2
  ${indented(refuseDowngrade(`dpkg --compare-versions "$installed" gt "${version}"`, version))}
  ;;
esac`

/**
 * For `%pre`: rpm itself refuses an older package only without `--oldpackage`, which dnf gives. The installed version is asked of the database, which may be read there.
 * @param version of the package, with its release.
 */
export const refuseOlderRpm = (name: PackageName, version: string): string => `if [ "$1" -gt 1 ] && command -v rpm > /dev/null; then
  installed=$(rpm -q --qf '%%{VERSION}-%%{RELEASE}\n' ${name} | tail -n 1)
  is_older() { [ "$(rpm --eval "%%{lua:print(rpm.vercmp('$installed', '${version}'))}")" = 1 ]; }
  ${indented(refuseDowngrade('is_older', version))}
fi`

/** What `keylime config` has made, and no package knows: such as that of the registrar that a verifier includes. */
const REMOVE_CONFIGURATION = `for role in ${CONFIGURED_ROLES.join(' ')}; do
  dpkg-query --search /etc/keylime/$role.conf > /dev/null 2>&1 || rm -rf /etc/keylime/$role.conf /etc/keylime/$role.conf.d /etc/keylime/$role.conf.bkp
done`

const ofProgram = (version: string): Scripts => ({
  preinst: refuseOlderDebian(version),
  postinst: `if [ "$1" = configure ]; then
  ${indented(MAKE_USER)}
fi`,
  postrm: `if [ "$1" = purge ]; then
  rm -rf ${KEYLIME_DIR}
  ${indented(REMOVE_CONFIGURATION)}
  rmdir --ignore-fail-on-non-empty /etc/keylime 2> /dev/null || true
fi`,
})

const RELOAD = `if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload > /dev/null || true
fi`

/** What only the role has in the directory that it shares with others. */
export const removeState = (role: ServiceRole): string => `rm -rf ${STATE[role].map((name) => `${KEYLIME_DIR}/${name}`).join(' ')}`

/** The kernel that runs decides: an older one refuses a mount with an option that it does not know. */
const MOUNT_DROP_IN = `/etc/systemd/system/${mountUnitName(KEYLIME_DIR)}.d`
const FIRST_WITH_NOSWAP = [...Array(20).keys()].map((minor) => `6.${minor}`).find(knowsNoswap)!
const WRITE_DROP_IN = `if [ "$(printf '%s\\n' ${FIRST_WITH_NOSWAP} "$(uname -r)" | sort -V | head -n 1)" = ${FIRST_WITH_NOSWAP} ]; then
  install -d -m 0755 ${escaped(MOUNT_DROP_IN)}
  printf '# written by the package: this kernel can keep the memory for secrets out of swap\\n[Mount]\\nOptions=size=1m,mode=0700,nosuid,nodev,noswap\\n' > ${escaped(MOUNT_DROP_IN)}/noswap.conf
fi`

function escaped(text: string): string {
  return `'${text}'`
}

/** A service is not started by its installation: it has to be told first who its peers are. One that runs is started again with the new executable. */
export function restartRunning(role: ServiceRole): string {
  return `if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload > /dev/null || true
  systemctl try-restart --no-block keylime-${role}.service || true
fi`
}

export const OWN_CONFIGURATION = (role: ServiceRole): string => `chgrp ${USER} ${configurationOf(role)}
  chmod 0640 ${configurationOf(role)}`

export const HOW_TO_BEGIN = (role: ServiceRole): string =>
  `echo "keylime-${role}: edit ${configurationOf(role)}, then: systemctl enable --now keylime-${role}"`

function ofRole(role: ServiceRole, version: string): Scripts {
  const isAgent = role === 'agent'
  return {
    preinst: refuseOlderDebian(version),
    postinst: `if [ "$1" = configure ]; then
  if [ -z "$2" ]; then
    ${indented(OWN_CONFIGURATION(role))}
    ${HOW_TO_BEGIN(role)}
  fi
  ${isAgent ? `${indented(MAKE_TPM_GROUP)}\n  ${indented(WRITE_DROP_IN)}\n  ` : ''}${indented(restartRunning(role))}
fi`,
    prerm: `if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl stop keylime-${role}.service || true${isAgent ? `\n  systemctl stop '${mountUnitName(KEYLIME_DIR)}' || true` : ''}
  systemctl disable keylime-${role}.service > /dev/null 2>&1 || true
fi`,
    postrm: `if [ "$1" = purge ]; then
  ${removeState(role)}
  ${isAgent ? `rm -rf ${escaped(MOUNT_DROP_IN)}\n  ` : ''}rm -rf /etc/keylime/${role}.conf.d /etc/keylime/${role}.conf.bkp
  rmdir --ignore-fail-on-non-empty /etc/keylime 2> /dev/null || true
fi
${RELOAD}`,
  }
}

const indented = (text: string): string => text.replaceAll('\n', '\n  ')
