import type { ArgumentSpec, ParsedArguments } from '../../../core/cli/argparse.ts'
import type { TenantOptions } from '../tenant-options.ts'

const value = (name: string, metavar: string, ...flags: string[]): ArgumentSpec => ({ name, metavar, flags, kind: 'value' })
const append = (name: string, metavar: string, ...flags: string[]): ArgumentSpec => ({ name, metavar, flags, kind: 'append' })
const flag = (name: string, ...flags: string[]): ArgumentSpec => ({ name, flags, kind: 'flag' })

/** The options of upstream's keylime_tenant, in its order (policies E.1). */
export const UPSTREAM_ARGUMENTS: readonly ArgumentSpec[] = [
  value('command', 'COMMAND', '-c', '--command'),
  flag('pushModel', '--push-model'),
  value('targetHost', 'AGENT_IP', '-t', '--targethost'),
  value('targetPort', 'AGENT_PORT', '-tp', '--targetport'),
  value('registrarHost', 'REGISTRAR_IP', '-r', '--registrarhost'),
  value('registrarPort', 'REGISTRAR_PORT', '-rp', '--registrarport'),
  value('cvTargetHost', 'CV_AGENT_IP', '--cv_targethost'),
  value('verifierHost', 'VERIFIER_IP', '-v', '--cv'),
  value('verifierPort', 'VERIFIER_PORT', '-vp', '--cvport'),
  value('verifierId', 'VERIFIER_ID', '-vi', '--cvid'),
  flag('noVerifierCheck', '-nvc', '--no-verifier-check'),
  value('agentId', 'AGENT_UUID', '-u', '--uuid'),
  value('file', 'FILE', '-f', '--file'),
  value('cert', 'CA_DIR', '--cert'),
  value('keyFile', 'KEYFILE', '-k', '--key'),
  value('payloadFile', 'PAYLOAD', '-p', '--payload'),
  value('include', 'INCL_DIR', '--include'),
  value('allowlist', 'ALLOWLIST', '--allowlist'),
  value('runtimePolicy', 'RUNTIME_POLICY', '--runtime-policy'),
  append('imaKeys', 'IMA_SIGN_VERIFICATION_KEYS', '--signature-verification-key', '--sign_verification_key'),
  append('imaKeySigs', 'IMA_SIGN_VERIFICATION_KEY_SIGS', '--signature-verification-key-sig'),
  append('imaKeySigKeys', 'IMA_SIGN_VERIFICATION_KEY_SIG_KEYS', '--signature-verification-key-sig-key'),
  append('imaKeyUrls', 'IMA_SIGN_VERIFICATION_KEY_URLS', '--signature-verification-key-url'),
  append('imaKeySigUrls', 'IMA_SIGN_VERIFICATION_KEY_SIG_URLS', '--signature-verification-key-sig-url'),
  append('imaKeySigUrlKeys', 'IMA_SIGN_VERIFICATION_KEY_SIG_URL_KEYS', '--signature-verification-key-sig-url-key'),
  value('mbPolicy', 'MB_POLICY', '--mb_refstate'),
  value('allowlistUrl', 'ALLOWLIST_URL', '--allowlist-url'),
  value('exclude', 'IMA_EXCLUDE', '--exclude'),
  value('runtimePolicyChecksum', 'RUNTIME_POLICY_CHECKSUM', '--runtime-policy-checksum'),
  value('runtimePolicyKey', 'RUNTIME_POLICY_SIG_KEY', '--runtime-policy-sig-key'),
  value('runtimePolicyUrl', 'RUNTIME_POLICY_URL', '--runtime-policy-url'),
  value('tpmPolicy', 'TPM_POLICY', '--tpm_policy'),
  flag('verify', '--verify'),
  value('allowlistName', 'ALLOWLIST_NAME', '--allowlist-name'),
  value('runtimePolicyName', 'RUNTIME_POLICY_NAME', '--runtime-policy-name'),
  value('mbPolicy', 'MB_POLICY', '--mb-policy'),
  value('mbPolicyName', 'MB_POLICY_NAME', '--mb-policy-name'),
  value('agentApiVersion', 'AGENT_API_VERSION', '--agent-api-version'),
  value('supportedVersion', 'SUPPORTED_VERSION', '--supported-version'),
]

/** Upstream's checks of combinations, which end with status 2 (E.1). @returns the message, or undefined. */
export function combinationError({ values, positionals }: ParsedArguments): string | undefined {
  if (positionals.length > 0) return `unrecognized arguments: ${positionals.join(' ')}`
  const policy = values['runtimePolicy'] || values['runtimePolicyUrl'] || values['allowlist'] || values['allowlistUrl']
  if ((values['command'] === 'addruntimepolicy' || values['command'] === 'addallowlist') && !policy) {
    return '--allowlist or --runtime_policy is required to add a runtime policy'
  }
  if (values['exclude'] && !values['allowlist']) return '--exclude cannot be used without an --allowlist'
  if (values['allowlist'] && values['allowlistUrl']) return '--allowlist and --allowlist-url options are mutually exclusive'
  if (values['runtimePolicy'] && values['runtimePolicyUrl'])
    return '--runtime-policy and --runtime-policy-url options are mutually exclusive'
  if (values['allowlistUrl']?.startsWith('http:') && !values['runtimePolicyChecksum'])
    return '--allowlist-url without https needs --runtime-policy-checksum'
  if (values['runtimePolicyUrl'] && !values['runtimePolicyChecksum'])
    return '--runtime-policy-checksum must be specified with --runtime-policy-url'
  if (values['runtimePolicyChecksum'] && !policy) return '--runtime-policy-checksum needs --runtime-policy or --runtime-policy-url'
  for (const name of ['targetPort', 'registrarPort', 'verifierPort']) {
    if (values[name] !== undefined && !(/^\d{1,5}$/.test(values[name]) && Number(values[name]) <= 65_535))
      return `invalid port: '${values[name]}'`
  }
  return undefined
}

const DEFAULT_ID = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000'

/** What upstream's words mean here. */
export function optionsOfUpstream({ values, flags, lists }: ParsedArguments): TenantOptions {
  const { allowlistName, supportedVersion, targetPort, registrarPort, verifierPort, include, ...texts } = values
  const number = (name: string, text: string | undefined) => (text === undefined ? {} : { [name]: Number(text) })
  return {
    ...texts,
    ...number('targetPort', targetPort),
    ...number('registrarPort', registrarPort),
    ...number('verifierPort', verifierPort),
    command: values['command'] ?? 'add',
    agentId: values['agentId'] || DEFAULT_ID,
    ...(include ? { include: [include] } : {}),
    exactId: true,
    ...lists,
    runtimePolicyName: values['runtimePolicyName'] ?? allowlistName ?? '',
    agentApiVersion: values['agentApiVersion'] ?? supportedVersion ?? '',
    verify: flags.has('verify'),
    pushModel: flags.has('pushModel'),
    noVerifierCheck: flags.has('noVerifierCheck'),
    wait: false,
    replaces: true,
    timeoutSeconds: 60,
  }
}
