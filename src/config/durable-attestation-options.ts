import { option, options, text } from './option.ts'

/** Upstream's options of both servers for keeping attestations elsewhere: accepted, and without effect. */
export const durableAttestationOptions = options({
  durable_attestation_import: option({ parse: text, default: '', unused: true, doc: 'Upstream’s Python module that keeps attestations.' }),
  persistent_store_url: option({ parse: text, default: '', unused: true, doc: 'Upstream’s store for attestations.' }),
  transparency_log_url: option({ parse: text, default: '', unused: true, doc: 'Upstream’s transparency log for attestations.' }),
  time_stamp_authority_url: option({ parse: text, default: '', unused: true, doc: 'Upstream’s time stamping of attestations.' }),
  time_stamp_authority_certs_path: option({ parse: text, default: '', unused: true, doc: 'Certificates of the time stamping authority.' }),
  persistent_store_format: option({ parse: text, default: 'json', unused: true, doc: 'Upstream’s format for attestations.' }),
  persistent_store_encoding: option({ parse: text, default: '', unused: true, doc: 'Upstream’s encoding for attestations.' }),
  transparency_log_sign_algo: option({ parse: text, default: 'sha256', unused: true, doc: 'Digest of the transparency log.' }),
})
