import { boolean, option, options, type Parse, path, seconds, text } from './option.ts'

/** An https URL, perhaps with the path of a proxy, or nothing. */
const verifierUrl: Parse<string> = (value) => {
  if (value === '') return ''
  const url = URL.parse(value)
  if (url?.protocol !== 'https:' || url.username !== '' || url.search !== '' || url.hash !== '')
    throw new Error('must be an https URL such as https://verifier.example.com:8881')
  return value
}

/** Of an agent that listens nowhere and brings its evidence (API 3.0). */
export const bringingOptions = options({
  verifier_url: option({
    parse: verifierUrl,
    default: 'https://localhost:8881',
    doc: 'Where an agent that listens nowhere brings its evidence. The certificate of the verifier must be for this name or address.',
  }),
  verifier_tls_ca_cert: option({
    parse: path,
    default: 'default',
    doc: 'CA of the verifier, for an agent that brings its evidence; `default` is cv_ca/cacert.crt in keylime_dir.',
  }),
  attestation_interval_seconds: option({
    parse: seconds,
    default: 60,
    doc: 'Seconds between two attestations where the verifier of an agent that brings its evidence does not say how many, and after a refusal.',
  }),
  certification_keys_server_identifier: option({
    parse: text,
    default: 'ak',
    doc: 'Name of the attestation key in what an agent that brings its evidence offers. Verifiers of upstream look for `ak`.',
  }),
  uefi_logs_evidence_version: option({
    parse: text,
    default: '2.1',
    doc: 'Version of the event log of the firmware, in what an agent that brings its evidence offers.',
  }),
  tls_accept_invalid_certs: option({
    parse: boolean,
    default: false,
    doc: 'Bring evidence to whatever answers at verifier_url, whoever it is. For tests.',
  }),
  tls_accept_invalid_hostnames: option({
    parse: boolean,
    default: false,
    doc: 'Bring evidence also to a verifier whose certificate is of the right CA, but for another name.',
  }),
  attest_on_change: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Push: attest at once when the measurement list grows or a PCR changes, at most once a second, where the verifier lets machines come before their time (ours does). The list’s count is looked at four times a second.',
  }),
  pcr_watch_interval: option({
    parse: seconds,
    default: 5,
    ours: true,
    doc: 'Push: seconds between two questions to the TPM whether PCRs were changed, for attest_on_change; 0: it is not asked.',
  }),
})
