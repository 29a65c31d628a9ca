import { Secret } from '../core/secret.ts'
import { databaseOptions } from './database-options.ts'
import { durableAttestationOptions } from './durable-attestation-options.ts'
import { keptOptions } from './kept-options.ts'
import { metricsOptions } from './metrics-options.ts'
import {
  boolean,
  host,
  httpUrl,
  integer,
  integerBetween,
  list,
  literalList,
  longSeconds,
  oneOf,
  option,
  options,
  path,
  port,
  publicUrl,
  seconds,
  secret,
  text,
} from './option.ts'
import type { Literal } from './python-literal.ts'
import { serverTlsOptions } from './server-tls-options.ts'

/** A rule of `severity_policy`: the first whose expression matches an event id in full gives the label. */
export interface SeverityRule {
  readonly event_id: string
  readonly severity_label: string
}

const notifiers = ['agent', 'zeromq', 'webhook'] as const
export type Notifier = (typeof notifiers)[number]

function severityRule(item: Literal): SeverityRule {
  const rule = item as { event_id?: unknown; severity_label?: unknown } | null
  if (typeof rule?.event_id !== 'string' || typeof rule.severity_label !== 'string') {
    throw new Error('must be a list of {"event_id": "<regular expression>", "severity_label": "<label>"}')
  }
  return { event_id: rule.event_id, severity_label: rule.severity_label }
}

function notifierList(value: string): Notifier[] {
  return list(value).map((name) => oneOf(...notifiers)(name))
}

function nonEmpty<T>(parse: (value: string) => T[]): (value: string) => T[] {
  return (value) => {
    const items = parse(value)
    if (items.length === 0) throw new Error('must not be empty')
    return items
  }
}

const SESSIONS_ARE_FREE =
  'Upstream’s limit of open sessions in push mode. Here a session that waits for its proof takes up nothing, so nobody can use up the sessions of others.'

/** Settings of verifier.conf: names and defaults of upstream's template 2.6. */
export const verifierOptions = options({
  version: option({ parse: text, default: '2.6', doc: 'Version of the layout of this file.' }),
  uuid: option({ parse: text, default: 'default', doc: 'Id of this verifier. If you have several, the tenant can filter by it.' }),
  ip: option({ parse: host, default: '127.0.0.1', doc: 'Address that the verifier listens on. It always uses HTTPS.' }),
  port: option({ parse: port, default: 8881, doc: 'Port that the verifier listens on.' }),
  registrar_ip: option({ parse: host, default: '127.0.0.1', doc: 'Address of the registrar.' }),
  registrar_port: option({ parse: port, default: 8891, doc: 'HTTPS port of the registrar.' }),
  host_registrar: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Run the registrar inside this process, with the settings of registrar.conf. The program name `keylime_verifier` never does this.',
  }),
  follow_address: option({
    parse: boolean,
    default: false,
    ours: true,
    doc: 'If a machine cannot be reached, try the address that it has registered with the registrar at registrar_ip. The verifier keeps that address once the machine has shown its pinned TLS key there and has given a good quote. If this is off, `keylime tenant list` shows both addresses, and `keylime tenant update` sets the new one.',
  }),
  enable_agent_mtls: option({ parse: boolean, default: true, doc: 'Talk to agents by mutual TLS only.' }),
  tls_dir: option({
    parse: text,
    default: 'generate',
    doc: 'Where keys and certificates are. `generate` makes a CA, a server certificate and a client certificate in KEYLIME_DIR/cv_ca. `default` uses that directory as it is. Anything else is a path; relative paths are below KEYLIME_DIR.',
  }),
  ...serverTlsOptions,
  client_key: option({
    parse: path,
    default: 'default',
    doc: 'Private key for connections to agents. `default` is client-private.pem in tls_dir.',
  }),
  client_key_password: option({ parse: secret, default: new Secret(''), secret: true, doc: 'Password of client_key. Empty: none.' }),
  client_cert: option({
    parse: path,
    default: 'default',
    doc: 'Certificate for connections to agents. `default` is client-cert.crt in tls_dir.',
  }),
  trusted_server_ca: option({
    parse: list,
    default: ['default'],
    doc: 'CAs of the servers that the verifier calls. `default` is cv_ca/cacert.crt. `all` switches the check off.',
  }),
  authorization_provider: option({ parse: oneOf('simple'), default: 'simple', doc: 'Who may do what. There is only `simple`.' }),
  ...databaseOptions('cv_data.sqlite'),
  auto_migrate_db: option({ parse: boolean, default: true, doc: 'Update an older database when the service starts.' }),
  num_workers: option({
    parse: integer,
    default: 0,
    unused: true,
    doc: 'Upstream’s number of processes. Here one process serves all agents.',
  }),
  max_workers: option({
    parse: integer,
    default: 16,
    unused: true,
    doc: 'Upstream’s number of processes. Here one process serves all agents.',
  }),
  exponential_backoff: option({
    parse: boolean,
    default: true,
    doc: 'If an agent cannot be reached, wait longer after each try: retry_interval to the power of the number of tries.',
  }),
  retry_interval: option({ parse: seconds, default: 2, doc: 'Seconds between two tries, or the base of the exponential back-off.' }),
  max_retries: option({ parse: integerBetween(0, 100), default: 5, doc: 'Tries before an agent counts as unreachable.' }),
  quote_interval: option({ parse: seconds, default: 2, doc: 'Seconds between two attestations of one agent. With 0 there is no pause.' }),
  max_upload_size: option({ parse: integer, default: 104_857_600, doc: 'Largest request body in bytes.' }),
  max_quote_size: option({
    parse: integerBetween(1 << 20, 400 << 20),
    default: 48 << 20,
    ours: true,
    doc: 'Largest answer of a machine, in bytes. A measurement list has about 160 bytes for each entry, so the default is enough for 300,000 entries, which takes a machine months. While the verifier judges an answer, it needs about ten times as much memory.',
  }),
  enable_verify_evidence: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Judge evidence that anyone sends to `verify/evidence`. The verifier does not need this for its own machines.',
  }),
  enable_verify_identity: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Tell anyone who asks at `verify/identity` whether a quote comes from the TPM of an agent.',
  }),
  verify_rate_limit_per_ip: option({
    parse: integerBetween(1, 1_000_000),
    default: 60,
    ours: true,
    doc: 'How many requests one address (in IPv6, one /64) may send to these two in a minute. The limit does not apply to a client certificate from a trusted CA.',
  }),
  verify_rate_limit: option({
    parse: integerBetween(1, 1_000_000),
    default: 600,
    ours: true,
    doc: 'The same limit for all addresses together.',
  }),
  request_timeout: option({ parse: seconds, default: 60, doc: 'Seconds that a request to an agent may take.' }),
  agent_connections: option({
    parse: integerBetween(0, 10_000_000),
    default: 0,
    ours: true,
    doc: 'How many connections to machines stay open from one attestation to the next. Each needs about 85 KB. Beyond that number, the verifier closes a connection after the answer and resumes its TLS session the next time, which makes an attestation cost about twice as much. With 0, as many as fit into half of the memory and into the limit of open files; with a `quote_interval` of a minute or more, at most 20,000.',
  }),
  measured_boot_policy_name: option({
    parse: text,
    default: 'accept-all',
    doc: 'How to judge a boot log that explains the PCRs: `accept-all`, `example` (compare it with the reference state) or `reject-all`.',
  }),
  measured_boot_imports: option({
    parse: list,
    default: [],
    doc: "Upstream's Python modules with more policy engines. They are ignored, with a warning.",
  }),
  measured_boot_evaluate: option({
    parse: oneOf('once', 'always'),
    default: 'once',
    doc: 'Whether that counts until the first good attestation (`once`) or for every one (`always`). The verifier always checks that the log explains the PCRs.',
  }),
  ...keptOptions,
  judging_workers: option({
    parse: integerBetween(0, 64),
    default: 0,
    ours: true,
    doc: 'Worker threads for what may take long: the first log of a machine, many file signatures, large policies, public requests. With 0, one less than the number of processors, between 2 and 8. A thread starts only when it is needed.',
  }),
  judging_timeout: option({
    parse: integerBetween(1, 3600),
    default: 60,
    ours: true,
    doc: 'Seconds of processor time that a worker may spend on the evidence of one machine, or on one policy. If evidence takes longer, the attestation fails. 20,000 files that are signed with P-256, P-384 or P-521 take about 2, 14 or 32 seconds.',
  }),
  audit_log: option({
    parse: path,
    default: 'audit.log',
    ours: true,
    doc: 'File of the audit log: one hash-chained JSON line for each event. Check it with `keylime verifier audit verify`. Relative paths are below KEYLIME_DIR. If it is empty, there is no audit log.',
  }),
  audit_log_max_size: option({
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
    default: 104_857_600,
    ours: true,
    doc: 'Bytes after which the verifier renames the file to FILE.NUMBER, by the number of its last line, and continues the chain in a new file. With 0, never. It deletes nothing.',
  }),
  severity_labels: option({
    parse: nonEmpty(list),
    default: ['info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'],
    doc: 'Names of the severities, from low to high.',
  }),
  severity_policy: option({
    parse: nonEmpty(literalList(severityRule)),
    default: [{ event_id: '.*', severity_label: 'emergency' }],
    doc: 'Severity of each failure. The first expression that matches the whole id of the failure decides. The highest severity ends attestation.',
  }),
  ignore_tomtou_errors: option({
    parse: boolean,
    default: false,
    unused: true,
    doc: 'Upstream does the opposite of what this name says, and by default accepts violations. See fail_on_violations.',
  }),
  fail_on_violations: option({
    parse: boolean,
    default: false,
    ours: true,
    doc: 'A machine fails if its IMA list has a violation (a file changed while it was measured), even if the file is excluded. The hash does not cover the name in such a line, so it may be any file.',
  }),
  require_allow_list_signatures: option({ parse: boolean, default: false, doc: 'Refuse runtime policies that are not signed.' }),
  mode: option({
    parse: oneOf('both', 'pull', 'push'),
    default: 'both',
    doc: '`pull`: the verifier asks agents for quotes, and refuses to enrol a machine without an address. `push`: agents bring their quotes, and the verifier ignores addresses. `both` (not in upstream): an agent that is enrolled without an address brings its quotes, and the verifier asks all others.',
  }),
  challenge_lifetime: option({ parse: seconds, default: 1800, doc: 'Push: seconds in which an agent may answer a challenge.' }),
  verification_timeout: option({
    parse: seconds,
    default: 0,
    unused: true,
    doc: 'Upstream’s limit for judging evidence in push mode, in seconds. Here judging_timeout covers both modes.',
  }),
  session_create_rate_limit_per_ip: option({ parse: integer, default: 50, unused: true, doc: SESSIONS_ARE_FREE }),
  session_create_rate_limit_window_ip: option({ parse: seconds, default: 60, unused: true, doc: SESSIONS_ARE_FREE }),
  session_create_rate_limit_per_agent: option({ parse: integer, default: 15, unused: true, doc: SESSIONS_ARE_FREE }),
  session_create_rate_limit_window_agent: option({ parse: seconds, default: 60, unused: true, doc: SESSIONS_ARE_FREE }),
  session_lifetime: option({ parse: seconds, default: 180, doc: 'Push: seconds that a session token is valid.' }),
  extend_token_on_attestation: option({ parse: boolean, default: true, doc: 'Push: each attestation extends the session.' }),
  auto_recover_attestation_failures: option({ parse: boolean, default: false, doc: 'Push: a good attestation clears an earlier failure.' }),
  nonce_lifetime: option({ parse: seconds, default: 60, doc: 'Push: seconds in which an agent may answer the challenge of a session.' }),
  push_wait_time: option({
    parse: seconds,
    default: 60,
    ours: true,
    doc: 'Push: how many seconds the verifier holds a machine’s request for revocations and wake-ups, at most an hour. If it is less than 1, machines hear of them only when they bring their evidence.',
  }),
  shutdown_drain_timeout: option({ parse: seconds, default: 10, doc: 'Seconds that open requests have to finish when the service stops.' }),
  ...metricsOptions(8895),
  ...durableAttestationOptions,
  signed_attributes: option({ parse: text, default: '', unused: true, doc: 'Attributes that upstream signs in the transparency log.' }),
  revocation_retry_seconds: option({
    parse: longSeconds,
    default: 86_400,
    section: 'revocations',
    ours: true,
    doc: 'How long, in seconds, the verifier keeps trying to tell a receiver of a revocation if it cannot be reached.',
  }),
  enabled_revocation_notifications: option({
    section: 'revocations',
    parse: notifierList,
    default: ['agent'],
    doc: 'Who hears of a revocation: any of `agent`, `webhook` and `zeromq` (anyone who subscribes at zmq_ip:zmq_port).',
  }),
  zmq_ip: option({ section: 'revocations', parse: host, default: '127.0.0.1', doc: 'Address for ZeroMQ subscribers.' }),
  zmq_port: option({ section: 'revocations', parse: port, default: 8992, doc: 'Port for ZeroMQ subscribers.' }),
  webhook_url: option({
    section: 'revocations',
    parse: httpUrl,
    default: '',
    shown: publicUrl,
    doc: 'URL that gets each revocation by POST.',
  }),
  webhook_token: option({
    section: 'revocations',
    parse: secret,
    default: new Secret(''),
    secret: true,
    ours: true,
    doc: 'Token that the verifier sends to webhook_url as `Authorization: Bearer`. If it is empty, none.',
  }),
  webhook_proxy: option({
    section: 'revocations',
    parse: httpUrl,
    default: '',
    shown: publicUrl,
    ours: true,
    doc: 'HTTP proxy for webhook_url. If it is empty, there is none. The variable HTTP_PROXY has no effect.',
  }),
})
