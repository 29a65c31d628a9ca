import { type AuthorizedClient, parseAuthorizedClient } from '../core/pki/authorized-clients.ts'
import { Secret } from '../core/secret.ts'
import { hostList, list, option, options, path, secret } from './option.ts'

/** For every server with mutual TLS. */
export const trustedClientCrl = option({
  parse: list,
  default: ['default'],
  ours: true,
  doc: 'Revocation lists of the CAs in trusted_client_ca. They are read again when they change. `default` is cacrl.der (or cacrl.pem) beside each CA, if it is there. If it is empty, there are none. Relative paths are as in trusted_client_ca.',
})

/** What verifier and registrar have in common: key and certificate of their server, and who may be its client. */
export const serverTlsOptions = options({
  server_key: option({ parse: path, default: 'default', doc: 'Private key of the server; `default` is server-private.pem in tls_dir.' }),
  server_key_password: option({
    parse: secret,
    default: new Secret(''),
    secret: true,
    doc: 'Password of server_key. It also encrypts a key that the service makes. If it is empty, there is none.',
  }),
  server_cert: option({ parse: path, default: 'default', doc: 'Certificate of the server; `default` is server-cert.crt in tls_dir.' }),
  cert_subject_alternative_names: option({
    parse: hostList,
    default: [],
    doc: 'More names and addresses for a server certificate that the service makes. It always contains localhost, the host names and the address that the service listens on.',
  }),
  trusted_client_ca: option({
    parse: list,
    default: ['default'],
    doc: 'CAs that may have issued the certificates of operators; authorized_clients says which certificates count. `default` is cv_ca/cacert.crt. Paths are below tls_dir.',
  }),
  authorized_clients: option({
    parse: authorizedClients,
    default: [{ kind: 'default' }],
    ours: true,
    doc: 'Which certificates of trusted_client_ca may administer the installation. A list of `role:operator`, `name:COMMON NAME`, `key:SHA-256 of the public key`, `any`. `default` is `role:operator` for a CA that gives roles, as ours do. For any other CA it is `any`, with a warning in the log.',
  }),
  trusted_client_crl: trustedClientCrl,
})

function authorizedClients(value: string): AuthorizedClient[] {
  const clients = list(value).map(parseAuthorizedClient)
  if (clients.length === 0) throw new Error('must not be empty')
  return clients
}
