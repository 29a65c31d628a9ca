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
  'Push, at upstream: how many sessions may be opened. Here a session that waits for its proof takes nothing, so that nobody can use up another’s.'

/** Settings of verifier.conf: names and defaults of upstream's template 2.6. */
export const verifierOptions = options({
  version: option({ parse: text, default: '2.6', doc: 'Version of the layout of this file.' }),
  uuid: option({ parse: text, default: 'default', doc: 'Id of this verifier, by which the tenant can filter when there are several.' }),
  ip: option({ parse: host, default: '127.0.0.1', doc: 'Address on which the verifier listens; always HTTPS.' }),
  port: option({ parse: port, default: 8881, doc: 'Port on which the verifier listens.' }),
  registrar_ip: option({ parse: host, default: '127.0.0.1', doc: 'Address of the registrar.' }),
  registrar_port: option({ parse: port, default: 8891, doc: 'HTTPS port of the registrar.' }),
  host_registrar: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Run the registrar inside this process, with the settings of registrar.conf. Never under the program name `keylime_verifier`.',
  }),
  follow_address: option({
    parse: boolean,
    default: false,
    ours: true,
    doc: 'Look for a machine that cannot be reached where it has registered, at the registrar of registrar_ip, and ask it there from then on: when it shows its pinned TLS key there, and a good quote came. Otherwise `keylime tenant list` shows both addresses, and `keylime tenant update` takes the new one.',
  }),
  enable_agent_mtls: option({ parse: boolean, default: true, doc: 'Talk to agents by mutual TLS only.' }),
  tls_dir: option({
    parse: text,
    default: 'generate',
    doc: 'Where keys and certificates are: `generate` makes a CA, a server and a client certificate in KEYLIME_DIR/cv_ca, `default` uses that directory as it is, anything else is a path (relative ones are below KEYLIME_DIR).',
  }),
  ...serverTlsOptions,
  client_key: option({ parse: path, default: 'default', doc: 'Private key towards agents; `default` is client-private.pem in tls_dir.' }),
  client_key_password: option({ parse: secret, default: new Secret(''), secret: true, doc: 'Password of client_key. Empty: none.' }),
  client_cert: option({ parse: path, default: 'default', doc: 'Certificate towards agents; `default` is client-cert.crt in tls_dir.' }),
  trusted_server_ca: option({
    parse: list,
    default: ['default'],
    doc: 'CAs of the servers that the verifier calls; `default` is cv_ca/cacert.crt, `all` switches the check off.',
  }),
  authorization_provider: option({ parse: oneOf('simple'), default: 'simple', doc: 'Who may do what; only `simple` exists.' }),
  ...databaseOptions('cv_data.sqlite'),
  auto_migrate_db: option({ parse: boolean, default: true, doc: 'Bring an older database up to date at the start.' }),
  num_workers: option({ parse: integer, default: 0, unused: true, doc: 'Processes of upstream. One process serves all agents here.' }),
  max_workers: option({ parse: integer, default: 16, unused: true, doc: 'Processes of upstream. One process serves all agents here.' }),
  exponential_backoff: option({
    parse: boolean,
    default: true,
    doc: 'Wait retry_interval to the power of the number of tries, not the same time always, when an agent cannot be reached.',
  }),
  retry_interval: option({ parse: seconds, default: 2, doc: 'Seconds between two tries, or base of the exponential back-off.' }),
  max_retries: option({ parse: integerBetween(0, 100), default: 5, doc: 'Tries before an agent counts as unreachable.' }),
  quote_interval: option({ parse: seconds, default: 2, doc: 'Seconds between two attestations of one agent; 0 is without a pause.' }),
  max_upload_size: option({ parse: integer, default: 104_857_600, doc: 'Largest request body in bytes.' }),
  max_quote_size: option({
    parse: integerBetween(1 << 20, 400 << 20),
    default: 48 << 20,
    ours: true,
    doc: 'Largest answer of a machine in bytes. A measurement list has some 160 bytes an entry, so the default is enough for 300,000 of them, which takes a machine months. The verifier needs some ten times as much memory while it judges one.',
  }),
  enable_verify_evidence: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Judge evidence that anybody submits to `verify/evidence`. Nothing that the verifier itself attests needs it.',
  }),
  enable_verify_identity: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Say to anybody who asks at `verify/identity` whether a quote is of the TPM of an agent.',
  }),
  verify_rate_limit_per_ip: option({
    parse: integerBetween(1, 1_000_000),
    default: 60,
    ours: true,
    doc: 'Requests to both of these that one address (of IPv6: one /64) may send in a minute. A client certificate of a trusted CA lifts the limit.',
  }),
  verify_rate_limit: option({
    parse: integerBetween(1, 1_000_000),
    default: 600,
    ours: true,
    doc: 'The same of all addresses together.',
  }),
  request_timeout: option({ parse: seconds, default: 60, doc: 'Seconds that one request to an agent may take.' }),
  agent_connections: option({
    parse: integerBetween(0, 10_000_000),
    default: 0,
    ours: true,
    doc: 'Connections to machines that are kept open from one attestation to the next, each some 85 KB; beyond them one is closed after its answer, and the next resumes its TLS session for about twice the cost of an attestation. 0: as many as fit into half of the memory, and into the limit of open files.',
  }),
  measured_boot_policy_name: option({
    parse: text,
    default: 'accept-all',
    doc: 'How a boot log that explains the PCRs is judged: `accept-all`; `example`, which compares it with the reference state; `reject-all`.',
  }),
  measured_boot_imports: option({
    parse: list,
    default: [],
    doc: "Upstream's further modules with policy engines, in Python: left aside with a warning.",
  }),
  measured_boot_evaluate: option({
    parse: oneOf('once', 'always'),
    default: 'once',
    doc: 'Judge by it until the first good attestation, or at every one. That the log explains the PCRs is checked at each.',
  }),
  ...keptOptions,
  judging_workers: option({
    parse: integerBetween(0, 64),
    default: 0,
    ours: true,
    doc: 'Worker threads for what may take long: first logs of a machine, many file signatures, large policies, public requests. 0: one less than the processors, from 2 to 8. None is started before it is needed.',
  }),
  judging_timeout: option({
    parse: integerBetween(1, 3600),
    default: 60,
    ours: true,
    doc: 'Seconds of processor time that a worker may spend on the evidence of one machine, or on one policy. Evidence that takes longer is a failed attestation. 20,000 files that are signed with P-256, P-384 or P-521 take some 2, 14 or 32 seconds.',
  }),
  audit_log: option({
    parse: path,
    default: 'audit.log',
    ours: true,
    doc: 'File of the audit log: one hash-chained JSON line for each event, to be checked with `keylime verifier audit verify`. Relative ones are below KEYLIME_DIR. Empty: none is written.',
  }),
  audit_log_max_size: option({
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
    default: 104_857_600,
    ours: true,
    doc: 'Bytes after which it is renamed to FILE.NUMBER, by the number of its last line, and a new one goes on with the chain; 0: never. Nothing is deleted.',
  }),
  severity_labels: option({
    parse: nonEmpty(list),
    default: ['info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'],
    doc: 'Names of the severities, from low to high.',
  }),
  severity_policy: option({
    parse: nonEmpty(literalList(severityRule)),
    default: [{ event_id: '.*', severity_label: 'emergency' }],
    doc: 'Severity of each failure: the first expression that matches its id in full decides; the highest severity ends attestation.',
  }),
  ignore_tomtou_errors: option({
    parse: boolean,
    default: false,
    unused: true,
    doc: 'Upstream does the contrary of what this name says, and by default accepts violations; see fail_on_violations.',
  }),
  fail_on_violations: option({
    parse: boolean,
    default: false,
    ours: true,
    doc: 'A violation in the IMA list (a file that was changed while it was measured) fails the machine, excluded or not: the name in such a line is in no hash, so it may be any file’s.',
  }),
  require_allow_list_signatures: option({ parse: boolean, default: false, doc: 'Refuse runtime policies that are not signed.' }),
  mode: option({
    parse: oneOf('both', 'pull', 'push'),
    default: 'both',
    doc: '`pull`: the verifier asks agents for quotes, and refuses to enrol others; `push`: agents bring them, and addresses of enrolments are left aside; `both` (ours): an agent that is enrolled without an address brings its quotes, every other is asked.',
  }),
  challenge_lifetime: option({ parse: seconds, default: 1800, doc: 'Push: seconds that a challenge may be answered.' }),
  verification_timeout: option({
    parse: seconds,
    default: 0,
    unused: true,
    doc: 'Push, at upstream: seconds that judging evidence may take. Here judging_timeout counts for both ways.',
  }),
  session_create_rate_limit_per_ip: option({ parse: integer, default: 50, unused: true, doc: SESSIONS_ARE_FREE }),
  session_create_rate_limit_window_ip: option({ parse: seconds, default: 60, unused: true, doc: SESSIONS_ARE_FREE }),
  session_create_rate_limit_per_agent: option({ parse: integer, default: 15, unused: true, doc: SESSIONS_ARE_FREE }),
  session_create_rate_limit_window_agent: option({ parse: seconds, default: 60, unused: true, doc: SESSIONS_ARE_FREE }),
  session_lifetime: option({ parse: seconds, default: 180, doc: 'Push: seconds that a session token lives.' }),
  extend_token_on_attestation: option({ parse: boolean, default: true, doc: 'Push: each attestation prolongs the session.' }),
  auto_recover_attestation_failures: option({ parse: boolean, default: false, doc: 'Push: a good attestation clears an earlier failure.' }),
  nonce_lifetime: option({ parse: seconds, default: 60, doc: 'Push: seconds that the challenge of a session may be answered.' }),
  push_wait_time: option({
    parse: seconds,
    default: 60,
    ours: true,
    doc: 'Push: seconds that a request of a machine is held that waits for revocations and wake-ups, at most an hour; less than 1: none is, and machines hear of them when they bring their evidence.',
  }),
  shutdown_drain_timeout: option({ parse: seconds, default: 10, doc: 'Seconds that open requests get to finish when the service stops.' }),
  ...metricsOptions(8895),
  ...durableAttestationOptions,
  signed_attributes: option({ parse: text, default: '', unused: true, doc: 'Attributes that upstream signs in the transparency log.' }),
  revocation_retry_seconds: option({
    parse: longSeconds,
    default: 86_400,
    section: 'revocations',
    ours: true,
    doc: 'How long, in seconds, somebody who cannot be reached is tried again after a revocation.',
  }),
  enabled_revocation_notifications: option({
    section: 'revocations',
    parse: notifierList,
    default: ['agent'],
    doc: 'Who is told of a revocation: any of agent, webhook and zeromq (whoever subscribes at zmq_ip:zmq_port).',
  }),
  zmq_ip: option({ section: 'revocations', parse: host, default: '127.0.0.1', doc: 'Address on which ZeroMQ subscribers are served.' }),
  zmq_port: option({ section: 'revocations', parse: port, default: 8992, doc: 'Port on which ZeroMQ subscribers are served.' }),
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
    doc: 'Token that webhook_url gets in `Authorization: Bearer`; empty: none.',
  }),
  webhook_proxy: option({
    section: 'revocations',
    parse: httpUrl,
    default: '',
    shown: publicUrl,
    ours: true,
    doc: 'HTTP proxy through which webhook_url is reached; empty: none. HTTP_PROXY of the environment has no effect.',
  }),
})
