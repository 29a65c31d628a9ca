import { credentialName } from '../../config/credentials.ts'
import { TABLES } from '../../config/tables.ts'
import type { ServiceRole } from './service-role.ts'

export interface UnitFacts {
  executable: string
  keylimeDir: string
  user: string
}

const DESCRIPTION: Record<ServiceRole, string> = {
  agent: 'Keylime agent: proves what this machine runs',
  verifier: 'Keylime verifier: attests machines and releases their payload keys',
  registrar: 'Keylime registrar: binds ids of machines to their TPMs',
  ca: 'Keylime certificate authority: serves its revocation list, takes revocations',
}

/** Whose options a role reads. A verifier hosts a registrar, and both make their certificates with the authority's key store. */
const READS: Record<ServiceRole, readonly ServiceRole[]> = {
  agent: ['agent'],
  verifier: ['verifier', 'registrar', 'ca'],
  registrar: ['registrar', 'ca'],
  ca: ['ca'],
}

/**
 * A systemd unit. `Type=notify`: the service is up when the role really serves, for the agent when it is registered; its heartbeat ends when its work hangs.
 * Each may do what it must and nothing else (docs/guide/services.md). The agent starts as root, because it reads what the kernel measures, and becomes `run_as`
 * by itself; its tmpfs is a mount unit, so that it needs not be able to mount.
 */
export function unitText(role: ServiceRole, facts: UnitFacts): string {
  const isAgent = role === 'agent'
  const mount = mountUnitName(facts.keylimeDir)
  const unit = [
    `Description=${DESCRIPTION[role]}`,
    'Documentation=man:keylime(1)',
    `After=network-online.target${isAgent ? ` tpm2.target ${mount}` : ''}`,
    `Wants=network-online.target${isAgent ? ` ${mount}` : ''}`,
    ...(isAgent ? ['ConditionSecurity=|tpm2', 'ConditionPathExists=|/dev/tpm0'] : []),
    'StartLimitIntervalSec=300',
    'StartLimitBurst=10',
  ]
  const service = [
    'Type=notify',
    'NotifyAccess=main',
    `ExecStart=${facts.executable} ${role === 'ca' ? 'ca listen' : role}`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    `Environment=KEYLIME_DIR=${facts.keylimeDir}`,
    ...credentials(role),
    ...(isAgent ? [] : [`User=${facts.user}`, `Group=${facts.user}`]),
    'UMask=0077',
    'Restart=on-failure',
    'RestartSec=5',
    `TimeoutStartSec=${isAgent ? 'infinity' : '90'}`,
    'TimeoutStopSec=30',
    'WatchdogSec=60',
    'LimitNOFILE=524288',
    `ReadWritePaths=${facts.keylimeDir}`,
    ...CLOSED,
    ...(isAgent ? AGENT_ONLY : SERVER_ONLY),
  ]
  return sections({ Unit: unit, Service: service, Install: ['WantedBy=multi-user.target'] })
}

/** The tmpfs for secrets. It belongs to root until the agent gives it to its own user, and stays when the agent ends: payloads outlive a restart. */
export function mountText({ keylimeDir }: Pick<UnitFacts, 'keylimeDir'>, { noswap }: { noswap: boolean }): string {
  const unit = ['Description=Memory for secrets of the Keylime agent', 'Documentation=man:keylime-agent(1)']
  const mount = [
    'What=tmpfs',
    `Where=${keylimeDir}/secure`,
    'Type=tmpfs',
    `Options=size=1m,mode=0700,nosuid,nodev${noswap ? ',noswap' : ''}`,
    'DirectoryMode=0700',
  ]
  return sections({ Unit: unit, Mount: mount })
}

/** As `systemd-escape --path --suffix=mount` says. */
export function mountUnitName(keylimeDir: string): string {
  const escaped = [...Buffer.from(`${keylimeDir}/secure`.replaceAll(/\/+/g, '/').replace(/^\//, ''))]
    .map((byte, i) => escapedByte(byte, i === 0))
    .join('')
  return `${escaped}.mount`
}

function escapedByte(byte: number, isFirst: boolean): string {
  const character = String.fromCharCode(byte)
  if (character === '/') return '-'
  const isPlain = /[A-Za-z0-9:_.]/.test(character) && !(isFirst && character === '.')
  return isPlain ? character : `\\x${byte.toString(16).padStart(2, '0')}`
}

/** From what Linux on a tmpfs can be kept out of swap. @param release of the kernel, as uname(2) says. */
export function knowsNoswap(release: string): boolean {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? []
  return Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 4)
}

/** Passwords that systemd takes from its store of credentials, where there are such. */
const credentials = (role: ServiceRole): string[] =>
  READS[role].flatMap((component) =>
    Object.entries(TABLES[component])
      .filter(([, { secret }]) => secret)
      .map(([name]) => `LoadCredential=${credentialName(component, name)}`),
  )

/**
 * V8 compiles while it runs, so memory that is written must become executable: MemoryDenyWriteExecute cannot be. ZeroMQ ends the process when it may not set the
 * (usual) scheduling of its threads: @resources must be allowed.
 */
const CLOSED = [
  'NoNewPrivileges=yes',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'ProtectProc=invisible',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'SystemCallErrorNumber=EPERM',
]

const SERVER_ONLY = [
  'PrivateDevices=yes',
  'PrivateUsers=yes',
  'RemoveIPC=yes',
  'CapabilityBoundingSet=',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged',
]

/** It becomes another user, and gives that one what root has made. */
const AGENT_ONLY = [
  'DevicePolicy=closed',
  'DeviceAllow=/dev/tpmrm0 rw',
  'DeviceAllow=/dev/tpm0 rw',
  'CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID',
  'SystemCallFilter=@system-service',
]

const sections = (parts: Record<string, readonly string[]>): string =>
  Object.entries(parts)
    .map(([name, lines]) => `[${name}]\n${lines.join('\n')}\n`)
    .join('\n')
