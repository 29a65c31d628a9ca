import { option, options, text } from './option.ts'

/** Upstream's options of both servers for keeping attestations elsewhere: accepted, and without effect. */
export const durableAttestationOptions = options({
  durable_attestation_import: option({ parse: text, default: '', unused: true, doc: 'Python module of upstream that keeps attestations.' }),
  persistent_store_url: option({ parse: text, default: '', unused: true, doc: 'Store of upstream for attestations.' }),
  transparency_log_url: option({ parse: text, default: '', unused: true, doc: 'Transparency log of upstream for attestations.' }),
  time_stamp_authority_url: option({ parse: text, default: '', unused: true, doc: 'Time stamping of upstream for attestations.' }),
  time_stamp_authority_certs_path: option({ parse: text, default: '', unused: true, doc: 'Certificates of the time stamping authority.' }),
  persistent_store_format: option({ parse: text, default: 'json', unused: true, doc: 'Format of upstream for attestations.' }),
  persistent_store_encoding: option({ parse: text, default: '', unused: true, doc: 'Encoding of upstream for attestations.' }),
  transparency_log_sign_algo: option({ parse: text, default: 'sha256', unused: true, doc: 'Digest of the transparency log.' }),
})
