import { UNKNOWN_TPM } from '../core/api/unknown-tpm.ts'
import { databaseOptions } from './database-options.ts'
import { durableAttestationOptions } from './durable-attestation-options.ts'
import { metricsOptions } from './metrics-options.ts'
import { boolean, host, integer, oneOf, option, options, port, text } from './option.ts'
import { serverTlsOptions } from './server-tls-options.ts'

/** Settings of registrar.conf: names and defaults of upstream's template 2.6. */
export const registrarOptions = options({
  version: option({ parse: text, default: '2.6', doc: 'Version of the layout of this file.' }),
  ip: option({ parse: host, default: '127.0.0.1', doc: 'Address that the registrar listens on.' }),
  port: option({ parse: port, default: 8890, doc: 'Port for agents, plain HTTP: only registration and activation.' }),
  tls_port: option({ parse: port, default: 8891, doc: 'Port for the tenant and the verifier, with mutual TLS. Agents may use it, too.' }),
  tls_dir: option({
    parse: text,
    default: 'default',
    doc: 'Where keys and certificates are. `generate` makes a CA and a server certificate in KEYLIME_DIR/reg_ca. `default` uses KEYLIME_DIR/cv_ca of the verifier. Anything else is a path; relative paths are below KEYLIME_DIR.',
  }),
  ...serverTlsOptions,
  authorization_provider: option({ parse: oneOf('simple'), default: 'simple', doc: 'Who may do what. There is only `simple`.' }),
  ...databaseOptions('reg_data.sqlite'),
  max_workers: option({
    parse: integer,
    default: 16,
    unused: true,
    doc: 'Upstream’s number of processes. Here one process serves all agents.',
  }),
  auto_migrate_db: option({ parse: boolean, default: true, doc: 'Update an older database when the service starts.' }),
  tpm_identity: option({
    parse: oneOf('default', 'ek_cert_or_iak_idevid', 'ek_cert', 'iak_idevid'),
    default: 'default',
    doc: 'What an agent must show: an EK certificate, IAK and IDevID, or (default) one of the two.',
  }),
  same_tpm_under_other_ids: option({
    parse: oneOf('refuse', 'allow'),
    default: 'refuse',
    ours: true,
    doc: 'What happens if a registered TPM registers under another id, too. `refuse` refuses it. `allow` accepts it, as upstream does, and the log and `keylime tenant status` say so. The same id is always accepted again.',
  }),
  unknown_tpm: option({
    parse: oneOf(...UNKNOWN_TPM),
    default: 'accept',
    ours: true,
    doc: 'What happens to a TPM that nobody expects (`keylime tenant expect`) and that is not registered yet: `accept` registers it, as upstream does. `approve` keeps it waiting until an operator approves it (`keylime tenant pending`, `approve`). `refuse` refuses it.',
  }),
  malformed_cert_action: option({
    parse: oneOf('warn', 'reject', 'ignore'),
    default: 'warn',
    doc: 'What happens to an agent that has a certificate which is not strict DER. Several makers deliver such certificates.',
  }),
  max_upload_size: option({ parse: integer, default: 104_857_600, doc: 'Largest request body in bytes.' }),
  ...metricsOptions(8896),
  ...durableAttestationOptions,
  signed_attributes: option({ parse: text, default: 'ek_tpm,aik_tpm,ekcert', unused: true, doc: 'Attributes that upstream signs.' }),
})
