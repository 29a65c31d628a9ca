import type { Findings } from './config/collect-findings.ts'
import type { ConfiguredRole } from './config/tables.ts'
import type { Logger } from './io/log/logger.ts'

/** What `keylime --help` and keylime(1) say first. */
export const PROGRAM = {
  purpose: 'keylime delivers secrets only to machines that prove with their TPM what they run.',
  usage: 'keylime ROLE …',
  examples: [
    ['keylime verifier', 'a first installation: verifier and registrar in one process'],
    ['keylime agent', 'on each machine with a TPM'],
    ['keylime tenant -t 10.0.0.7 --cert ca --include payload', 'deliver a payload to that machine'],
  ],
} as const

/** Each role and tool, loaded only when it is called: `--help` must not pay for what it does not need. */
export const COMMANDS = {
  'tenant [action] [ids..]': {
    describe: 'Enrol machines, deliver payloads, show what happened',
    load: () => import('./roles/tenant/command.ts'),
  },
  agent: {
    describe: 'Run on each machine: prove what it runs, take payloads, run revocation actions',
    load: () => import('./roles/agent/command.ts'),
  },
  verifier: {
    describe: 'Attest machines, release payload keys, send revocations (includes the registrar)',
    load: () => import('./roles/verifier/command.ts'),
  },
  registrar: { describe: 'Bind the ids of machines to their TPMs', load: () => import('./roles/registrar/command.ts') },
  'ca [action] [subject]': { describe: 'Issue and revoke certificates', load: () => import('./roles/ca/command.ts') },
  'userdata-encrypt <file>': {
    describe: 'Encrypt a payload for delivery by other means',
    load: () => import('./tools/userdata-encrypt/command.ts'),
  },
  policy: {
    describe: 'Make, test, check and change policies, which say what machines may run',
    load: () => import('./tools/policy/command.ts'),
  },
  config: { describe: 'Show, check and change the configuration of the roles', load: () => import('./tools/config/command.ts') },
  'doctor [role]': {
    describe: 'Find out why a role does not work, and how to fix it',
    load: () => import('./tools/doctor/command.ts'),
  },
  'completion <shell>': {
    describe: 'Print a completion script for bash, zsh or fish',
    load: () => import('./tools/completion/command.ts'),
  },
  'man [page]': { describe: 'Show a page of the manual, or write all pages', load: () => import('./tools/man/command.ts') },
  'lab <what>': { describe: 'Try a verifier out with simulated machines', load: () => import('./tools/lab/command.ts') },
  'service <action> <role>': { describe: 'Install a role as a systemd service', load: () => import('./tools/service/command.ts') },
  version: { describe: 'Show the version, the commit and the parts it was built with', load: () => import('./tools/version/command.ts') },
} as const

/** Upstream's program names: the same work behind upstream's command lines. */
export const UPSTREAM: Record<string, () => Promise<{ runUpstream(args: string[]): Promise<number> }>> = {
  keylime_tenant: () => import('./roles/tenant/upstream.ts'),
  keylime_agent: () => import('./roles/agent/upstream.ts'),
  keylime_push_model_agent: () => import('./roles/agent/upstream-push.ts'),
  keylime_verifier: () => import('./roles/verifier/upstream.ts'),
  keylime_registrar: () => import('./roles/registrar/upstream.ts'),
  keylime_ca: () => import('./roles/ca/upstream.ts'),
  'keylime-policy': () => import('./tools/policy/upstream/keylime-policy.ts'),
  keylime_create_policy: () => import('./tools/policy/upstream/create-policy.ts'),
  keylime_convert_runtime_policy: () => import('./tools/policy/upstream/convert-policy.ts'),
  keylime_sign_runtime_policy: () => import('./tools/policy/upstream/sign-policy.ts'),
  keylime_upgrade_config: () => import('./tools/config/upstream.ts'),
  keylime_userdata_encrypt: () => import('./tools/userdata-encrypt/upstream.ts'),
}

/** `--check-config` of a role: what files and environment say, and a start would refuse. */
export async function checkRole(role: ConfiguredRole, env: NodeJS.ProcessEnv): Promise<Findings> {
  switch (role) {
    case 'agent':
      return (await import('./roles/agent/check-agent.ts')).checkAgentOf(env)
    case 'verifier':
      return (await import('./roles/verifier/check-verifier.ts')).checkVerifierOf(env, (same) => checkRole('registrar', same))
    case 'registrar':
      return (await import('./roles/registrar/check-registrar.ts')).checkRegistrarOf(env)
    case 'tenant':
      return (await import('./roles/tenant/check-tenant.ts')).checkTenantOf(env)
    case 'ca':
      return (await import('./roles/ca/check-ca.ts')).checkCaOf(env, { directory: undefined, passwordFile: undefined })
  }
}

/** The verifier's first installation hosts the registrar too; roles never import each other, so the seam is here. */
export async function startRegistrar(env: NodeJS.ProcessEnv, logger: Logger) {
  const { loadRegistrarSettings } = await import('./roles/registrar/registrar-settings.ts')
  const { startRegistrar: start } = await import('./roles/registrar/start.ts')
  return start(loadRegistrarSettings(env), logger)
}
