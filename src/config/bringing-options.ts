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
    doc: 'Where the agent brings its evidence, if it does not listen. The verifier’s certificate must be for this name or address.',
  }),
  verifier_tls_ca_cert: option({
    parse: path,
    default: 'default',
    doc: 'CA of the verifier, for an agent that brings its evidence; `default` is cv_ca/cacert.crt in keylime_dir.',
  }),
  attestation_interval_seconds: option({
    parse: seconds,
    default: 60,
    doc: 'Seconds between two attestations of an agent that brings its evidence, if the verifier does not say how many, and after a refusal.',
  }),
  certification_keys_server_identifier: option({
    parse: text,
    default: 'ak',
    doc: 'What an agent that brings its evidence calls its attestation key. Upstream’s verifiers look for `ak`.',
  }),
  uefi_logs_evidence_version: option({
    parse: text,
    default: '2.1',
    doc: 'Which version of the firmware’s event log an agent that brings its evidence says it has.',
  }),
  tls_accept_invalid_certs: option({
    parse: boolean,
    default: false,
    doc: 'Bring evidence to any server that answers at verifier_url, without checking its certificate. For tests only.',
  }),
  tls_accept_invalid_hostnames: option({
    parse: boolean,
    default: false,
    doc: 'Also accept a verifier that has a certificate from the right CA, but for another name.',
  }),
  attest_on_change: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Push: attest at once when the measurement list grows or a PCR changes, at most once a second. The verifier must allow machines to come early; ours does. The agent looks at the list four times a second.',
  }),
  pcr_watch_interval: option({
    parse: seconds,
    default: 5,
    ours: true,
    doc: 'Push: how often attest_on_change asks the TPM whether PCRs have changed, in seconds. With 0 it does not ask.',
  }),
})
