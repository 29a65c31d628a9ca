import fs from 'node:fs'
import path from 'node:path'

export interface Ports {
  verifier: number
  registrar: number
  registrarTls: number
  /** Where the verifier publishes revocations; null: agents are told by REST. */
  zeromq: number | null
  /** Agents bring their evidence; absent: the verifier asks. */
  push?: boolean
  /** Seconds between two questions of the verifier; half a second, unless it is said. */
  quoteInterval?: number
  /** Processes of upstream's verifier: 0 for one a processor; one, unless it is said. */
  workers?: number
  /** `database_url` of each service; SQLite, unless it is said. */
  databases?: Databases
}

export interface Databases {
  verifier: string
  registrar: string
}

type Section = Record<string, string | number>

const text = (name: string, section: Section) =>
  `[${name}]\n${Object.entries(section)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join('')}`

const SERVER_TLS = { server_key: 'default', server_cert: 'default', trusted_client_ca: 'default' }
const CLIENT_TLS = { client_key: 'default', client_cert: 'default', trusted_server_ca: 'default' }
const RETRIES = { exponential_backoff: 'False', retry_interval: 0.5, max_retries: 10, request_timeout: 60 }
const database = (url = 'sqlite') => ({ database_url: url, database_pool_sz_ovfl: '5,10', auto_migrate_db: 'True' })

const verifier = ({ verifier, registrarTls, zeromq, push, quoteInterval = 0.5, workers = 1, databases }: Ports) =>
  text('verifier', {
    version: '2.6',
    uuid: 'default',
    ip: '127.0.0.1',
    port: verifier,
    registrar_ip: '127.0.0.1',
    registrar_port: registrarTls,
    enable_agent_mtls: 'True',
    tls_dir: 'generate',
    ...SERVER_TLS,
    ...CLIENT_TLS,
    ...database(databases?.verifier),
    ...RETRIES,
    num_workers: workers,
    max_workers: workers,
    quote_interval: push ? 1 : quoteInterval, // upstream's push model reads whole numbers alone
    max_upload_size: 104857600,
    measured_boot_policy_name: 'example',
    measured_boot_imports: '[]',
    measured_boot_evaluate: 'always',
    severity_labels: '["info", "notice", "warning", "error", "critical", "alert", "emergency"]',
    severity_policy: '[{"event_id": ".*", "severity_label": "emergency"}]',
    ignore_tomtou_errors: 'False',
    require_allow_list_signatures: 'False',
    mode: push ? 'push' : 'pull',
  }) +
  text('revocations', {
    enabled_revocation_notifications: zeromq === null ? "['agent']" : "['zeromq']",
    zmq_ip: '127.0.0.1',
    zmq_port: zeromq ?? 8992,
    webhook_url: '',
  })

const registrar = ({ registrar, registrarTls, databases }: Ports) =>
  text('registrar', {
    version: '2.6',
    ip: '127.0.0.1',
    port: registrar,
    tls_port: registrarTls,
    tls_dir: 'default',
    ...SERVER_TLS,
    ...database(databases?.registrar),
    num_workers: 1,
    max_workers: 1,
    tpm_identity: 'default',
    malformed_cert_action: 'warn',
  })

const tenant = ({ verifier, registrarTls }: Ports) =>
  text('tenant', {
    version: '2.6',
    verifier_ip: '127.0.0.1',
    verifier_port: verifier,
    registrar_ip: '127.0.0.1',
    registrar_port: registrarTls,
    tls_dir: 'default',
    enable_agent_mtls: 'True',
    ...CLIENT_TLS,
    ...RETRIES,
    tpm_cert_store: 'tpm_cert_store',
    require_ek_cert: 'True',
    max_payload_size: 1048576,
    accept_tpm_hash_algs: "['sha512', 'sha384', 'sha256']",
    accept_tpm_encryption_algs: "['ecc', 'rsa']",
    accept_tpm_signing_algs: "['ecschnorr', 'rsassa']",
  })

const ca = text('ca', {
  version: '2.6',
  password: 'interop',
  cert_country: 'US',
  cert_ca_name: 'Keylime Certificate Authority',
  cert_state: 'MA',
  cert_locality: 'Lexington',
  cert_organization: 'MITLL',
  cert_org_unit: 53,
  cert_ca_lifetime: 3650,
  cert_lifetime: 365,
  cert_bits: 2048,
  cert_crl_dist: 'http://localhost:38080/crl',
})

const logging = `[logging]
version = 2.6
[loggers]
keys = root,keylime
[handlers]
keys = consoleHandler
[formatters]
keys = formatter
[formatter_formatter]
format = %(asctime)s.%(msecs)03d - %(name)s - %(levelname)s - %(message)s
datefmt = %Y-%m-%d %H:%M:%S
[logger_root]
level = INFO
handlers = consoleHandler
[logger_keylime]
level = INFO
qualname = keylime
handlers =
[handler_consoleHandler]
class = StreamHandler
level = INFO
formatter = formatter
args = (sys.stdout,)
`

/** Upstream's configuration files of all services, which either side reads. @returns the variables that name them. */
export function writeServiceConfig(dir: string, ports: Ports): Record<string, string> {
  fs.mkdirSync(dir, { recursive: true })
  const files = { verifier: verifier(ports), registrar: registrar(ports), tenant: tenant(ports), ca, logging }
  return Object.fromEntries(
    Object.entries(files).map(([component, content]) => {
      const file = path.join(dir, `${component}.conf`)
      fs.writeFileSync(file, content, { mode: 0o600 }) // passwords stand there
      return [`KEYLIME_${component.toUpperCase()}_CONFIG`, file]
    }),
  )
}

export type AgentKind = 'ours' | 'python' | 'rust'

export interface AgentFacts {
  id: string
  dir: string
  port: number
  registrarPort: number
  zeromq: number | null
  clientCa: string
  /** Where the agent brings its evidence; absent: it listens. */
  verifierUrl?: string
  /** Only these, in place of all that it has. */
  apiVersions?: string
}

/** agent.conf: the options that all three agents have, and what each kind has alone. @returns its path. */
export function writeAgentConfig(kind: AgentKind, facts: AgentFacts): string {
  const { id, dir, port, registrarPort, zeromq, clientCa, verifierUrl, apiVersions } = facts
  const quoted = (section: Section) => Object.fromEntries(Object.entries(section).map(([key, value]) => [key, `"${value}"`]))
  const texts = quoted({
    version: '2.0',
    uuid: id,
    ip: '127.0.0.1',
    contact_ip: '127.0.0.1',
    registrar_ip: '127.0.0.1',
    enc_keyname: 'derived_tci_key',
    dec_payload_file: 'decrypted_payload',
    secure_size: '1m',
    payload_script: 'autorun.sh',
    tpm_hash_alg: 'sha256',
    tpm_encryption_alg: 'rsa',
    tpm_signing_alg: 'rsassa',
    ek_handle: 'generate',
    run_as: '',
    revocation_cert: 'default',
    revocation_notification_ip: '127.0.0.1',
  })
  const values = {
    port,
    contact_port: port,
    registrar_port: registrarPort,
    revocation_notification_port: zeromq ?? 8992,
    enable_agent_mtls: 'true',
    extract_payload_zip: 'true',
    enable_revocation_notifications: zeromq === null ? 'false' : 'true',
    enable_insecure_payload: 'false',
    allow_payload_revocation_actions: 'true',
  }
  const python = {
    tls_dir: 'default',
    server_key: 'default',
    server_cert: 'default',
    server_key_password: '',
    trusted_client_ca: `['${clientCa}']`,
    tpm_ownerpassword: 'interop',
    revocation_actions: '[]',
    measure_payload_pcr: -1,
    exponential_backoff: 'True',
    retry_interval: 1,
    max_retries: 4,
  }
  const toml = {
    ...quoted({
      keylime_dir: dir,
      trusted_client_ca: clientCa,
      tpm_ownerpassword: '',
      revocation_actions: '',
      revocation_actions_dir: path.join(dir, 'actions'),
      ima_ml_path: path.join(dir, 'ima.log'),
      measuredboot_ml_path: path.join(dir, 'boot.log'),
      ...(apiVersions ? { api_versions: apiVersions } : {}),
      ...(verifierUrl ? { verifier_url: verifierUrl, verifier_tls_ca_cert: clientCa } : {}),
    }),
    ...(verifierUrl ? { attestation_interval_seconds: 1 } : {}),
    exponential_backoff_initial_delay: 300,
  }
  const file = path.join(dir, 'agent.conf')
  fs.writeFileSync(file, text('agent', { ...texts, ...values, ...(kind === 'python' ? python : toml) }))
  return file
}
