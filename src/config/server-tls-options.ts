import { type AuthorizedClient, parseAuthorizedClient } from '../core/pki/authorized-clients.ts'
import { Secret } from '../core/secret.ts'
import { hostList, list, option, options, path, secret } from './option.ts'

/** For every server with mutual TLS. */
export const trustedClientCrl = option({
  parse: list,
  default: ['default'],
  ours: true,
  doc: 'Revocation lists of the CAs in trusted_client_ca, read again when they change; `default` is cacrl.der (or cacrl.pem) beside each, if it is there. Empty: none. Relative paths are as in trusted_client_ca.',
})

/** What verifier and registrar have in common: key and certificate of their server, and who may be its client. */
export const serverTlsOptions = options({
  server_key: option({ parse: path, default: 'default', doc: 'Private key of the server; `default` is server-private.pem in tls_dir.' }),
  server_key_password: option({
    parse: secret,
    default: new Secret(''),
    secret: true,
    doc: 'Password of server_key; also encrypts a generated key. Empty: none.',
  }),
  server_cert: option({ parse: path, default: 'default', doc: 'Certificate of the server; `default` is server-cert.crt in tls_dir.' }),
  cert_subject_alternative_names: option({
    parse: hostList,
    default: [],
    doc: 'Further names and addresses in a generated server certificate, beside localhost, the host names and the address it listens on.',
  }),
  trusted_client_ca: option({
    parse: list,
    default: ['default'],
    doc: 'CAs whose client certificates may be administrators’ (authorized_clients says which are); `default` is cv_ca/cacert.crt. Paths are below tls_dir.',
  }),
  authorized_clients: option({
    parse: authorizedClients,
    default: [{ kind: 'default' }],
    ours: true,
    doc: 'Which certificates of trusted_client_ca may administrate, a list: `role:operator`, `name:COMMON NAME`, `key:SHA-256 of the public key`, `any`. `default` is `role:operator` for a CA that gives roles, as those of this program do, and `any` for others, with a warning.',
  }),
  trusted_client_crl: trustedClientCrl,
})

function authorizedClients(value: string): AuthorizedClient[] {
  const clients = list(value).map(parseAuthorizedClient)
  if (clients.length === 0) throw new Error('must not be empty')
  return clients
}
