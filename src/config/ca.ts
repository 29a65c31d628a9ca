import os from 'node:os'
import { urlHostPort } from '../core/api/host-port.ts'
import type { CaSettings } from '../core/pki/ca-settings.ts'
import { Secret } from '../core/secret.ts'
import { host, integerBetween, list, option, optionalHost, options, path, port, secret, text, type Values } from './option.ts'
import { trustedClientCrl } from './server-tls-options.ts'

const STANDARD_CRL_URL = 'http://localhost:38080/crl'

/** Settings of ca.conf: names and defaults of upstream's template 2.6. */
export const caOptions = options({
  version: option({ parse: text, default: '2.6', doc: 'Version of the layout of this file.' }),
  password: option({
    parse: secret,
    default: new Secret('default'),
    secret: true,
    doc: 'Password of the key store private.yml. `default` asks on the terminal.',
  }),
  password_file: option({
    parse: path,
    default: '',
    ours: true,
    doc: 'File whose first line is the password of the key store.',
  }),
  cert_country: option({ parse: text, default: 'US', doc: 'Country (C) in all certificates, two letters.' }),
  cert_ca_name: option({ parse: text, default: 'Keylime Certificate Authority', doc: 'Common name of the CA.' }),
  cert_state: option({ parse: text, default: 'MA', doc: 'State (ST) in all certificates.' }),
  cert_locality: option({ parse: text, default: 'Lexington', doc: 'Locality (L) in all certificates.' }),
  cert_organization: option({ parse: text, default: 'Keylime', doc: 'Organisation (O) in all certificates.' }),
  cert_org_unit: option({ parse: text, default: '53', doc: 'Organisational unit (OU) in all certificates.' }),
  cert_ca_lifetime: option({ parse: integerBetween(1, 36_500), default: 3650, doc: 'How many days a new CA is valid.' }),
  cert_lifetime: option({ parse: integerBetween(1, 36_500), default: 365, doc: 'How many days a new certificate is valid.' }),
  cert_bits: option({ parse: integerBetween(2048, 8192), default: 2048, doc: 'Length of RSA keys in bits.' }),
  cert_key_type: option({
    parse: keyType,
    default: 'rsa',
    ours: true,
    doc: 'Kind of the keys: `rsa`, or `ecdsa` on P-256 (faster; upstream tools can still read them).',
  }),
  cert_crl_dist: option({
    parse: text,
    default: STANDARD_CRL_URL,
    doc: 'URL of the revocation list, which is written into certificates. The default is the address of `keylime ca listen`, from listen_ip and listen_port. If it listens on all addresses, the host name is used; if it listens on this host alone, certificates have no URL. A change counts for packages that are made later. If it is empty, certificates have no URL.',
  }),
  crl_lifetime: option({
    parse: integerBetween(1, 3650),
    default: 7,
    ours: true,
    doc: 'The authority publishes a new revocation list after at most this many days.',
  }),
  listen_ip: option({ parse: host, default: '127.0.0.1', ours: true, doc: '`keylime ca listen`: address that it listens on.' }),
  listen_port: option({
    parse: port,
    default: 38_080,
    ours: true,
    doc: '`keylime ca listen`: port for revocation list, OCSP and signed revocations, plain HTTP.',
  }),
  listen_tls_port: option({
    parse: port,
    default: 0,
    ours: true,
    doc: '`keylime ca listen`: port for signed revocations over mutual TLS. With 0 there is none.',
  }),
  revocation_notification_ip: option({
    parse: optionalHost,
    default: '',
    ours: true,
    doc: '`keylime ca listen`: address of the verifier’s ZeroMQ publisher, to take signed revocations from it, too. If it is empty, none.',
  }),
  revocation_notification_port: option({
    parse: port,
    default: 8992,
    ours: true,
    doc: '`keylime ca listen`: port of that publisher.',
  }),
  tls_dir: option({
    parse: text,
    default: 'default',
    ours: true,
    doc: 'Certificates for listen_tls_port. `default` is cv_ca of the verifier. Anything else is a path; relative paths are below KEYLIME_DIR.',
  }),
  server_cert: option({
    parse: path,
    default: 'default',
    ours: true,
    doc: 'Certificate for listen_tls_port; `default` is server-cert.crt in tls_dir.',
  }),
  server_key: option({ parse: path, default: 'default', ours: true, doc: 'Its private key; `default` is server-private.pem in tls_dir.' }),
  server_key_password: option({
    parse: secret,
    default: new Secret(''),
    secret: true,
    ours: true,
    doc: 'Password of server_key. If it is empty, there is none.',
  }),
  trusted_client_ca: option({
    parse: list,
    default: ['default'],
    ours: true,
    doc: 'CAs that may have issued the certificates of clients which send revocations to listen_tls_port. `default` is cv_ca/cacert.crt. Paths are below tls_dir.',
  }),
  trusted_client_crl: trustedClientCrl,
})

function keyType(value: string): 'rsa' | 'ecdsa' {
  if (value !== 'rsa' && value !== 'ecdsa') throw new Error('must be one of: rsa, ecdsa')
  return value
}

/** The settings in the form that the CA's operations take. */
export function caSettings(values: Values<typeof caOptions>): CaSettings {
  return {
    subject: {
      country: values.cert_country,
      state: values.cert_state,
      locality: values.cert_locality,
      organization: values.cert_organization,
      organizationUnit: values.cert_org_unit,
    },
    caName: values.cert_ca_name,
    caLifetimeDays: values.cert_ca_lifetime,
    lifetimeDays: values.cert_lifetime,
    keyKind: values.cert_key_type === 'rsa' ? { type: 'rsa', bits: values.cert_bits } : { type: 'ecdsa' },
    crlUrl: values.cert_crl_dist === STANDARD_CRL_URL ? listenerUrl(values) : values.cert_crl_dist,
    crlLifetimeDays: values.crl_lifetime,
  }
}

/** Of a listener that only this machine can reach there is none: everywhere else the address would be another machine's. */
function listenerUrl({ listen_ip: ip, listen_port: port }: Values<typeof caOptions>): string {
  if (ip === 'localhost' || ip === '::1' || /^127\./.test(ip)) return ''
  const everywhere = ip === '0.0.0.0' || ip === '::' || ip === ''
  const host = everywhere ? os.hostname() : ip
  return `http://${urlHostPort(host, port || 38_080)}/crl`
}
