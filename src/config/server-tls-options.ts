import { Secret } from '../core/secret.ts'
import { hostList, list, option, options, path, secret } from './option.ts'

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
    doc: 'CAs whose client certificates are administrators; `default` is cv_ca/cacert.crt, `all` switches the check off. Paths are below tls_dir.',
  }),
})
