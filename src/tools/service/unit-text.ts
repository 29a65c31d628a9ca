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

/**
 * A systemd unit. `Type=notify`: the service is up when the role really serves, for the agent when it is registered.
 * The agent starts as root, because it mounts its tmpfs, and becomes `run_as` by itself.
 */
export function unitText(role: ServiceRole, { executable, keylimeDir, user }: UnitFacts): string {
  const isAgent = role === 'agent'
  return `[Unit]
Description=${DESCRIPTION[role]}
After=network-online.target${isAgent ? ' tpm2.target' : ''}
Wants=network-online.target
${isAgent ? 'ConditionSecurity=|tpm2\nConditionPathExists=|/dev/tpm0\n' : ''}StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart=${executable} ${role === 'ca' ? 'ca listen' : role}
ExecReload=/bin/kill -HUP $MAINPID
Environment=KEYLIME_DIR=${keylimeDir}
${isAgent ? '' : `User=${user}\nGroup=${user}\n`}UMask=0077
Restart=on-failure
RestartSec=5
TimeoutStartSec=${isAgent ? 'infinity' : '90'}
TimeoutStopSec=30
WatchdogSec=60
RuntimeDirectory=keylime-${role}
Environment=XDG_RUNTIME_DIR=/run/keylime-${role}
NoNewPrivileges=${isAgent ? 'no' : 'yes'}
ProtectHome=${isAgent ? 'no' : 'yes'}
ProtectSystem=${isAgent ? 'no' : 'strict'}
${isAgent ? '' : `ReadWritePaths=${keylimeDir}\nPrivateTmp=yes\nProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\nRestrictSUIDSGID=yes\n`}
[Install]
WantedBy=multi-user.target
`
}
