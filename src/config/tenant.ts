import { EK_EXPIRY } from '../core/identity/ek-certificate.ts'
import { Secret } from '../core/secret.ts'
import { boolean, host, integer, integerBetween, list, oneOf, option, options, path, port, seconds, secret, text } from './option.ts'

/** Settings of tenant.conf: names and defaults of upstream's template 2.6. */
export const tenantOptions = options({
  version: option({ parse: text, default: '2.6', doc: 'Version of the layout of this file.' }),
  verifier_ip: option({ parse: host, default: '127.0.0.1', doc: 'Address of the verifier (`-v`).' }),
  verifier_port: option({ parse: port, default: 8881, doc: 'Port of the verifier (`-vp`).' }),
  registrar_ip: option({ parse: host, default: '127.0.0.1', doc: 'Address of the registrar (`-r`).' }),
  registrar_port: option({ parse: port, default: 8891, doc: 'HTTPS port of the registrar (`-rp`).' }),
  tls_dir: option({
    parse: text,
    default: 'default',
    doc: 'Where the client’s key and certificate are. `default` is KEYLIME_DIR/cv_ca. Anything else is a path; relative paths are below KEYLIME_DIR.',
  }),
  enable_agent_mtls: option({ parse: boolean, default: true, doc: 'Talk to agents by mutual TLS only.' }),
  client_key: option({ parse: path, default: 'default', doc: 'Private key; `default` is client-private.pem in tls_dir.' }),
  client_key_password: option({ parse: secret, default: new Secret(''), secret: true, doc: 'Password of client_key. Empty: none.' }),
  client_cert: option({ parse: path, default: 'default', doc: 'Certificate; `default` is client-cert.crt in tls_dir.' }),
  trusted_server_ca: option({
    parse: list,
    default: ['default'],
    doc: 'CAs of the verifier and the registrar. `default` is cv_ca/cacert.crt. `all` switches the check off. Paths are below tls_dir.',
  }),
  tpm_cert_store: option({
    parse: path,
    default: 'tpm_cert_store',
    doc: 'Directory with the certificates of TPM makers, PEM or DER. The files may have any name. A relative path is below KEYLIME_DIR.',
  }),
  max_payload_size: option({ parse: integer, default: 1_048_576, doc: 'Largest encrypted payload in bytes, as base64 text.' }),
  accept_tpm_hash_algs: option({ parse: list, default: ['sha512', 'sha384', 'sha256'], doc: 'Digests that an agent may use.' }),
  accept_tpm_encryption_algs: option({
    parse: list,
    default: ['ecc', 'rsa'],
    doc: 'Kinds of keys that an agent may have. `ecc` means ecc256, and `rsa` means rsa2048. There are also rsa3072, rsa4096, ecc384 and ecc521.',
  }),
  accept_tpm_signing_algs: option({
    parse: list,
    default: ['ecschnorr', 'rsassa'],
    doc: 'Signature schemes that an agent may use. Add `ecdsa` for agents that have an ECC attestation key, and `rsapss` for agents with that `tpm_signing_alg`.',
  }),
  exponential_backoff: option({
    parse: boolean,
    default: true,
    doc: 'Wait longer after each try: retry_interval to the power of the number of tries.',
  }),
  retry_interval: option({ parse: seconds, default: 2, doc: 'Seconds between two tries, or the base of the exponential back-off.' }),
  max_retries: option({ parse: integerBetween(0, 100), default: 5, doc: 'Tries before giving up.' }),
  request_timeout: option({ parse: seconds, default: 60, doc: 'Seconds that a request may take.' }),
  require_ek_cert: option({
    parse: boolean,
    default: true,
    doc: 'Deliver only to TPMs that have an EK certificate from a maker in tpm_cert_store.',
  }),
  ek_cert_expiry: option({
    parse: oneOf(...EK_EXPIRY),
    default: 'accept',
    ours: true,
    doc: 'What to do with an EK certificate that has ended, or that comes from a maker’s certificate that has ended. `accept` accepts it and says so; `refuse` does not. TPMs cannot renew their certificates.',
  }),
  ek_check_script: option({
    parse: path,
    default: '',
    doc: 'Your own program that judges the EK. Exit code 0 accepts it. A relative path is below KEYLIME_DIR.',
  }),
  mb_refstate: option({ parse: path, default: '', doc: 'Measured boot policy that `--mb-policy default` means.' }),
})
