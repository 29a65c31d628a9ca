import type { Written } from './files.ts'
import type { ConfiguredRole } from './tables.ts'

/** Where an option of the one keylime.conf of Keylime 6 went: `role.option`; several where one became two. */
const MOVED: Readonly<Record<string, readonly string[]>> = {
  'general.receive_revocation_ip': ['agent.revocation_notification_ip'],
  'general.receive_revocation_port': ['agent.revocation_notification_port'],
  'cloud_agent.cloudagent_ip': ['agent.ip'],
  'cloud_agent.cloudagent_port': ['agent.port'],
  'cloud_agent.agent_contact_ip': ['agent.contact_ip'],
  'cloud_agent.agent_contact_port': ['agent.contact_port'],
  'cloud_agent.agent_uuid': ['agent.uuid'],
  'cloud_agent.rsa_keyname': ['agent.payload_key'],
  'cloud_agent.mtls_cert': ['agent.server_cert'],
  'cloud_agent.private_key_pw': ['agent.server_key_password'],
  'cloud_agent.keylime_ca': ['agent.trusted_client_ca'],
  'cloud_agent.listen_notfications': ['agent.enable_revocation_notifications'],
  'cloud_agent.listen_notifications': ['agent.enable_revocation_notifications'],
  'cloud_agent.mtls_cert_enabled': ['agent.enable_agent_mtls'],
  'cloud_verifier.cloudverifier_id': ['verifier.uuid'],
  'cloud_verifier.cloudverifier_ip': ['verifier.ip'],
  'cloud_verifier.cloudverifier_port': ['verifier.port'],
  'cloud_verifier.ca_cert': ['verifier.trusted_client_ca'],
  'cloud_verifier.my_cert': ['verifier.server_cert'],
  'cloud_verifier.private_key': ['verifier.server_key'],
  'cloud_verifier.private_key_pw': ['verifier.server_key_password'],
  'cloud_verifier.agent_mtls_cert_enabled': ['verifier.enable_agent_mtls'],
  'cloud_verifier.agent_mtls_cert': ['verifier.client_cert'],
  'cloud_verifier.agent_mtls_private_key': ['verifier.client_key'],
  'cloud_verifier.agent_mtls_private_key_pw': ['verifier.client_key_password'],
  'cloud_verifier.multiprocessing_pool_num_workers': ['verifier.num_workers'],
  'cloud_verifier.tomtou_errors': ['verifier.fail_on_violations'],
  'cloud_verifier.revocation_notifiers': ['verifier.enabled_revocation_notifications'],
  'cloud_verifier.revocation_notifier_ip': ['verifier.zmq_ip'],
  'cloud_verifier.revocation_notifier_port': ['verifier.zmq_port'],
  'registrar.registrar_ip': ['registrar.ip'],
  'registrar.registrar_port': ['registrar.port'],
  'registrar.registrar_tls_port': ['registrar.tls_port'],
  'registrar.my_cert': ['registrar.server_cert'],
  'registrar.private_key': ['registrar.server_key'],
  'registrar.private_key_pw': ['registrar.server_key_password'],
  'registrar.ca_cert': ['registrar.trusted_client_ca'],
  'tenant.cloudverifier_ip': ['tenant.verifier_ip'],
  'tenant.cloudverifier_port': ['tenant.verifier_port'],
  'tenant.my_cert': ['tenant.client_cert'],
  'tenant.private_key': ['tenant.client_key'],
  'tenant.private_key_pw': ['tenant.client_key_password'],
  'tenant.ca_cert': ['tenant.trusted_server_ca'],
  'tenant.agent_mtls_cert_enabled': ['tenant.enable_agent_mtls'],
}

/** What was, and why there is none of it any more. */
const GONE: readonly (readonly [RegExp, string])[] = [
  [/^general\.enable_tls$/, 'servers always speak TLS'],
  [/^general\.tls_check_hostnames$/, 'names are not checked, the authority is'],
  [/^general\.ca_implementation$/, 'there is one implementation'],
  [/^ca\.cfssl_/, 'cfssl is not supported'],
  [/^webapp\./, 'there is no web application any more'],
  [/\.check_client_cert$/, 'clients always show a certificate'],
  [/^cloud_verifier\.revocation_notifier(_webhook)?$/, 'enabled_revocation_notifications of [revocations] lists whom the verifier tells'],
  [
    /^(cloud_verifier|registrar)\.((database_)?(drivername|username|password|host|port|name|query)|database)$/,
    'database_url names the database',
  ],
  [/\.log_destination$/, 'a service logs to standard error'],
  [
    /^(cloud_verifier|registrar|tenant)\.registrar_(ca_cert|my_cert|private_key|private_key_pw|tls_dir)$/,
    'one client certificate is for all servers',
  ],
  [/^registrar\.provider_registrar_|^registrar\.prov_db_filename$/, 'there are no providers of virtual TPMs any more'],
  [/^tenant\.agent_mtls_/, 'one client certificate is for servers and machines'],
  [/^tenant\.(v?tpm_policy|allowlist|ima_allowlist|ima_excludelist)$/, 'policies are given with each command'],
  [/^(loggers|handlers|formatters|formatter_.*|logger_.*|handler_.*|logging)\./, 'only programs under upstream’s names read logging.conf'],
]

/** Sections of that file whose other options have the same name in a file of their own. */
const SECTIONS: Readonly<Record<string, ConfiguredRole>> = { cloud_agent: 'agent', cloud_verifier: 'verifier' }

export interface Successor {
  readonly role: ConfiguredRole
  readonly option: string
}

/** Where a setting of Keylime 6 stands today, by its section and name; or why nowhere. @returns undefined for one that has its name of old. */
export function successorsOf(section: string, key: string): readonly Successor[] | string | undefined {
  const moved = MOVED[`${section}.${key}`]
  if (moved) return moved.map((target) => successor(target))
  const reason = GONE.find(([pattern]) => pattern.test(`${section}.${key}`))?.[1]
  if (reason) return reason
  const role = SECTIONS[section]
  return role && [{ role, option: key }]
}

function successor(target: string): Successor {
  const [role = '', option = ''] = target.split('.')
  return { role: role as ConfiguredRole, option }
}

/** Whether settings are of the one file of Keylime 6: names such as `port` of [registrar] meant something else there. */
export const isOfKeylime6 = (settings: readonly Written[]): boolean =>
  settings.some(({ section, key }) => isOld(section) || `${section}.${key}` in MOVED)

/** Sections that only Keylime 6 had. */
const isOld = (section: string): boolean => ['general', 'webapp'].includes(section) || section in SECTIONS

/** What became of a setting of a keylime.conf of Keylime 6, as a sentence; undefined when it is none. */
export function keylime6Advice({ section, key, where }: Written): string | undefined {
  const found = successorsOf(section, key)
  if (found === undefined && !isOld(section)) return undefined
  if (/^log/.test(section)) return undefined
  const what = `${where}: "${key}" in [${section}] belongs to Keylime 6 and is ignored`
  if (typeof found === 'string') return `${what}: ${found}`
  const place = found?.map(({ role, option }) => `${option} of ${role}.conf`).join(' and ') ?? 'to be set in the file of each role'
  return `${what}: it is now ${place}. \`keylime config upgrade\` converts the file`
}
