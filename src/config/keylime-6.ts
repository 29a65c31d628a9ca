import type { Written } from './files.ts'

/** Where the sections of the one keylime.conf of Keylime 6 went. */
const SECTIONS: Readonly<Record<string, string>> = {
  general: 'each role’s own file: verifier.conf, registrar.conf, tenant.conf, agent.conf',
  cloud_agent: '[agent] of agent.conf',
  cloud_verifier: '[verifier] of verifier.conf',
  webapp: 'nowhere: there is no web application any more',
}

/** Options with another name or place since. */
const OPTIONS: Readonly<Record<string, string>> = {
  'general.enable_tls': 'enable_agent_mtls of tenant.conf, verifier.conf and agent.conf',
  'general.tls_check_hostnames': 'nothing: names are not checked, the authority is',
  'general.ca_implementation': 'nothing: there is one implementation',
  'general.receive_revocation_ip': 'revocation_notification_ip in [agent] of agent.conf',
  'general.receive_revocation_port': 'revocation_notification_port in [agent] of agent.conf',
  'cloud_agent.cloudagent_ip': 'ip in [agent] of agent.conf',
  'cloud_agent.cloudagent_port': 'port in [agent] of agent.conf',
  'cloud_agent.agent_contact_ip': 'contact_ip in [agent] of agent.conf',
  'cloud_agent.agent_contact_port': 'contact_port in [agent] of agent.conf',
  'cloud_agent.agent_uuid': 'uuid in [agent] of agent.conf',
  'cloud_agent.rsa_keyname': 'payload_key in [agent] of agent.conf',
  'cloud_agent.keylime_ca': 'trusted_client_ca in [agent] of agent.conf',
  'cloud_agent.listen_notfications': 'enable_revocation_notifications in [agent] of agent.conf',
  'cloud_agent.listen_notifications': 'enable_revocation_notifications in [agent] of agent.conf',
  'cloud_agent.mtls_cert_enabled': 'enable_agent_mtls in [agent] of agent.conf',
  'cloud_verifier.cloudverifier_id': 'uuid in [verifier] of verifier.conf',
  'cloud_verifier.cloudverifier_ip': 'ip in [verifier] of verifier.conf',
  'cloud_verifier.cloudverifier_port': 'port in [verifier] of verifier.conf',
  'cloud_verifier.ca_cert': 'trusted_client_ca in [verifier] of verifier.conf',
  'cloud_verifier.my_cert': 'server_cert in [verifier] of verifier.conf',
  'cloud_verifier.private_key': 'server_key in [verifier] of verifier.conf',
  'cloud_verifier.private_key_pw': 'server_key_password in [verifier] of verifier.conf',
  'cloud_verifier.revocation_notifier': 'enabled_revocation_notifications in [revocations] of verifier.conf',
  'cloud_verifier.revocation_notifier_ip': 'zmq_ip in [revocations] of verifier.conf',
  'cloud_verifier.revocation_notifier_port': 'zmq_port in [revocations] of verifier.conf',
  'cloud_verifier.revocation_notifier_webhook': 'enabled_revocation_notifications in [revocations] of verifier.conf',
  'cloud_verifier.webhook_url': 'webhook_url in [revocations] of verifier.conf',
  'registrar.registrar_ip': 'ip in [registrar] of registrar.conf',
  'registrar.registrar_port': 'port in [registrar] of registrar.conf',
  'registrar.registrar_tls_port': 'tls_port in [registrar] of registrar.conf',
  'registrar.my_cert': 'server_cert in [registrar] of registrar.conf',
  'registrar.private_key': 'server_key in [registrar] of registrar.conf',
  'registrar.private_key_pw': 'server_key_password in [registrar] of registrar.conf',
  'registrar.ca_cert': 'trusted_client_ca in [registrar] of registrar.conf',
  'tenant.cloudverifier_ip': 'verifier_ip in [tenant] of tenant.conf',
  'tenant.cloudverifier_port': 'verifier_port in [tenant] of tenant.conf',
  'tenant.my_cert': 'client_cert in [tenant] of tenant.conf',
  'tenant.private_key': 'client_key in [tenant] of tenant.conf',
  'tenant.private_key_pw': 'client_key_password in [tenant] of tenant.conf',
  'tenant.ca_cert': 'trusted_server_ca in [tenant] of tenant.conf',
}

/** What became of a setting of a keylime.conf of Keylime 6, as a sentence; undefined when it is none. */
export function keylime6Advice({ section, key, where }: Written): string | undefined {
  const option = OPTIONS[`${section}.${key}`]
  const place = option ?? (SECTIONS[section] && `to be set in ${SECTIONS[section]}`)
  return place && `${where}: "${key}" in [${section}] is of Keylime 6 and is ignored: it is now ${place}`
}
