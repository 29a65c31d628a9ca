import { Secret } from '../core/secret.ts'
import { agentRevocationOptions } from './agent-revocation-options.ts'
import { bringingOptions } from './bringing-options.ts'
import {
  boolean,
  contactHost,
  host,
  integerBetween,
  list,
  oneOf,
  option,
  optionalHost,
  options,
  type Parse,
  path,
  port,
  seconds,
  secret,
  text,
} from './option.ts'
import { trustedClientCrl } from './server-tls-options.ts'

const KINDS = ['rsa', 'rsa2048', 'rsa3072', 'ecc', 'ecc256', 'ecc_nist_p256', 'ecc384', 'ecc_nist_p384', 'ecc521', 'ecc_nist_p521'] as const
const HASHES = ['sha1', 'sha256', 'sha384', 'sha512'] as const

/** A name in a directory, not a path. */
const fileName: Parse<string> = (value) => {
  if (value === '' || value === '.' || value === '..' || /[/\0]/.test(value)) throw new Error('must be a file name without "/"')
  return value
}

const optionalFileName: Parse<string> = (value) => (value === '' ? '' : fileName(value))

/** A persistent handle such as 0x81010001, or undefined for the word given. */
const handle =
  (word: string): Parse<number | undefined> =>
  (value) => {
    if (value === '' || value === word) return undefined
    const number = /^(0x)?[0-9a-fA-F]{1,8}$/.test(value) ? Number.parseInt(value.replace(/^0x/, ''), 16) : 0
    if (number < 0x81000000 || number > 0x81ffffff) throw new Error('must be a persistent handle such as 0x81010001')
    return number
  }

const tmpfsSize: Parse<string> = (value) => {
  if (!/^\d{1,15}[kmgKMG%]?$/.test(value)) throw new Error('must be a size such as 1m, 512k or 5%')
  return value
}

/** Settings of agent.conf: names and defaults of upstream's Rust agent, and what the Python agent knew besides. */
export const agentOptions = options({
  version: option({ parse: text, default: '2.6', doc: 'Version of the layout of this file.' }),
  api_versions: option({
    parse: list,
    default: ['default'],
    doc: 'API versions to offer: `default` (2.1 to 2.6), `latest`, or a list. Unknown ones are left out.',
  }),
  uuid: option({
    parse: text,
    default: 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000',
    doc: 'Id of this machine. Write the id itself, or say where it comes from: `hash_ek` (the digest of the TPM’s endorsement key), `generate` (random at each start), `dmidecode`, `hostname` or `environment`.',
  }),
  mode: option({
    parse: oneOf('default', 'pull', 'push'),
    default: 'default',
    ours: true,
    doc: '`push`: the agent does not listen. It brings its evidence to verifier_url, as a machine behind NAT must. `pull`: it listens, and the verifier asks it. `default`: `push` if `ip` is empty, otherwise `pull`.',
  }),
  ip: option({
    parse: optionalHost,
    default: '127.0.0.1',
    doc: 'Address that the agent listens on. If it is empty, the agent does not listen and brings its evidence to verifier_url.',
  }),
  port: option({ parse: port, default: 9002, doc: 'Port that the agent listens on.' }),
  contact_ip: option({ parse: contactHost, default: '127.0.0.1', doc: 'Address at which the verifier and the tenant reach the agent.' }),
  contact_port: option({ parse: port, default: 9002, doc: 'Port at which the verifier and the tenant reach the agent.' }),
  registrar_ip: option({ parse: host, default: '127.0.0.1', doc: 'Address of the registrar.' }),
  registrar_port: option({ parse: port, default: 8890, doc: 'Port of the registrar, plain HTTP.' }),
  registrar_tls_enabled: option({ parse: boolean, default: false, doc: 'Register over TLS, at registrar_tls_port.' }),
  registrar_tls_port: option({ parse: port, default: 8891, doc: 'TLS port of the registrar.' }),
  registrar_tls_ca_cert: option({
    parse: path,
    default: 'default',
    doc: 'CA of the registrar; `default` is cv_ca/cacert.crt in keylime_dir.',
  }),
  registrar_api_versions: option({
    parse: list,
    default: ['default'],
    doc: 'API versions that an agent uses to register if it brings its evidence: `default` (2.1 to 2.6), `latest`, or a list.',
  }),
  enable_agent_mtls: option({
    parse: boolean,
    default: true,
    doc: 'Serve over mutual TLS. Without it, anyone may ask for quotes, and the agent refuses payloads.',
  }),
  keylime_dir: option({
    parse: path,
    default: '',
    doc: 'Directory for keys and state. It must exist. The variable KEYLIME_DIR overrides it. If it is empty, /var/lib/keylime.',
  }),
  server_key: option({
    parse: path,
    default: 'default',
    doc: 'Private key for TLS. The agent makes one if the file is missing. `default` is server-private.pem.',
  }),
  server_key_password: option({ parse: secret, default: new Secret(''), secret: true, doc: 'Password of server_key. Empty: none.' }),
  server_cert: option({
    parse: path,
    default: 'default',
    doc: 'Certificate for TLS. The agent makes one if the file is missing. `default` is server-cert.crt, which the agent renews near its end. If you name another file, the agent uses it as it is, or refuses to start.',
  }),
  payload_key: option({
    parse: path,
    default: 'default',
    doc: 'RSA key that U and V are encrypted to. The agent makes one if the file is missing. `default` is payload-private.pem. If that is missing and server-private.pem is an RSA key, as older Rust agents left it, the agent uses that key, and its quotes still cover it.',
  }),
  payload_key_password: option({ parse: secret, default: new Secret(''), secret: true, doc: 'Password of payload_key. Empty: none.' }),
  trusted_client_ca: option({
    parse: list,
    default: ['default'],
    doc: 'CAs whose client certificates may call the agent. If the CA gives roles, only those of operators and verifiers. `default` is cv_ca/cacert.crt in keylime_dir.',
  }),
  follow_authority: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'Trust the next authority when a trusted one has vouched for it (`keylime ca rotate`), and stop trusting the previous one when the rotation is finished. If this is off, you copy cacert.crt to the machine yourself.',
  }),
  trusted_client_crl: trustedClientCrl,
  enc_keyname: option({ parse: fileName, default: 'derived_tci_key', doc: 'File for the derived key, in secure/.' }),
  dec_payload_file: option({ parse: fileName, default: 'decrypted_payload', doc: 'File for the decrypted payload, in secure/.' }),
  secure_size: option({ parse: tmpfsSize, default: '1m', doc: 'Size of the tmpfs for secrets.' }),
  unmount_secure: option({
    parse: boolean,
    default: false,
    ours: true,
    doc: 'Unmount the tmpfs for secrets when the agent ends, if the agent mounted it. This erases all payloads.',
  }),
  tpm_ownerpassword: option({
    parse: secret,
    default: new Secret(''),
    secret: true,
    doc: 'Password of the TPM’s endorsement hierarchy. Start it with `hex:` to give bytes in hexadecimal. If it is empty, there is none.',
  }),
  tpm_hash_alg: option({ parse: oneOf(...HASHES), default: 'sha256', doc: 'Hash algorithm of quotes, and the PCR bank that they cover.' }),
  tpm_encryption_alg: option({ parse: oneOf(...KINDS), default: 'rsa', doc: 'Kind of the endorsement and attestation keys.' }),
  tpm_signing_alg: option({
    parse: oneOf('rsassa', 'rsapss', 'ecdsa'),
    default: 'rsassa',
    doc: "Signature scheme of quotes: rsassa or rsapss for RSA, ecdsa for ECC. Upstream's verifier cannot read quotes that are signed with rsapss.",
  }),
  ek_handle: option({
    parse: handle('generate'),
    default: undefined,
    doc: 'Persistent handle of an endorsement key. If it is `generate` or empty, the agent makes the key from its template.',
  }),
  extract_payload_zip: option({ parse: boolean, default: true, doc: 'If the payload is a zip archive, unpack it into secure/unzipped.' }),
  payload_script: option({
    parse: optionalFileName,
    default: 'autorun.sh',
    doc: 'Script to run from an unpacked payload. If it is empty, none runs.',
  }),
  payload_script_timeout: option({
    parse: seconds,
    default: 3600,
    ours: true,
    doc: 'Seconds after which the agent kills the script of a payload and everything that it started.',
  }),
  require_signed_payload: option({
    parse: boolean,
    default: false,
    ours: true,
    doc: 'Take a payload only if an operator has signed it, for this machine, and if it is newer than the last one. This needs a tenant of this program and a CA that gives roles. Sealed payloads, and payloads for an agent that brings its evidence, are always signed.',
  }),
  enable_insecure_payload: option({ parse: boolean, default: false, doc: 'Take payloads even if enable_agent_mtls is off.' }),
  payload_script_handover: option({
    parse: seconds,
    default: 60,
    ours: true,
    doc: 'Seconds that the script of a payload may still run when the next payload arrives. Then the agent ends it, so that a script that hangs does not hold up the next one.',
  }),
  ...agentRevocationOptions,
  run_as: option({
    parse: text,
    default: 'keylime:tss',
    doc: '`user:group` that the agent becomes after it has started as root. If it is empty, or if you do not start the agent as root, nothing changes.',
  }),
  agent_data_path: option({
    parse: path,
    default: 'default',
    doc: 'File that contains the attestation key. `default` is agent_data.json.',
  }),
  ima_ml_path: option({
    parse: path,
    default: 'default',
    doc: 'Measurement list of the kernel; `default` is /sys/kernel/security/ima/ascii_runtime_measurements.',
  }),
  measuredboot_ml_path: option({
    parse: path,
    default: 'default',
    doc: 'Event log of the firmware; `default` is /sys/kernel/security/tpm0/binary_bios_measurements.',
  }),
  systemd_ml_path: option({
    parse: path,
    default: 'default',
    ours: true,
    doc: 'Log of what systemd measures after the boot (PCR 11, 15 and others). `default` is /run/log/systemd/tpm2-measure.log. The agent sends it to the verifier if it exists.',
  }),
  exponential_backoff_initial_delay: option({
    parse: integerBetween(0, 2_147_483_647),
    default: 10_000,
    doc: 'Milliseconds until the second attempt to register, or, if the agent brings its evidence, to reach the verifier. The pause doubles after each attempt.',
  }),
  exponential_backoff_max_retries: option({
    parse: integerBetween(0, 1000),
    default: 5,
    doc: 'How often the agent tries again to register, or to send its evidence. An agent that brings its evidence starts over after that, for ever.',
  }),
  exponential_backoff_max_delay: option({
    parse: integerBetween(0, 2_147_483_647),
    default: 300_000,
    doc: 'Longest pause between two attempts, in milliseconds.',
  }),
  enable_iak_idevid: option({ parse: boolean, default: false, doc: 'Register with the device identity keys IAK and IDevID.' }),
  iak_idevid_template: option({
    parse: oneOf('', 'default', 'detect', 'H-1', 'H-2', 'H-3', 'H-4', 'H-5', 'manual'),
    default: 'detect',
    doc: 'Template of the device identity keys; `manual` takes the two options below.',
  }),
  iak_idevid_asymmetric_alg: option({
    parse: oneOf('rsa', 'ecc'),
    default: 'rsa',
    doc: 'Kind of the device identity keys, with `manual`.',
  }),
  iak_idevid_name_alg: option({
    parse: oneOf('sha256', 'sha384', 'sha512'),
    default: 'sha256',
    doc: 'Name algorithm of the device identity keys, with `manual`.',
  }),
  idevid_password: option({
    parse: secret,
    default: new Secret(''),
    secret: true,
    doc: 'Password of a persistent IDevID. If it is empty, there is none.',
  }),
  idevid_handle: option({
    parse: handle('default'),
    default: undefined,
    doc: 'Persistent handle of the IDevID. If it is empty, the agent makes the key from the template.',
  }),
  iak_password: option({
    parse: secret,
    default: new Secret(''),
    secret: true,
    doc: 'Password of a persistent IAK. If it is empty, there is none.',
  }),
  iak_handle: option({
    parse: handle('default'),
    default: undefined,
    doc: 'Persistent handle of the IAK. If it is empty, the agent makes the key from the template.',
  }),
  iak_cert: option({ parse: path, default: 'default', doc: 'Certificate of the IAK, PEM or DER; `default` is iak-cert.crt.' }),
  idevid_cert: option({ parse: path, default: 'default', doc: 'Certificate of the IDevID, PEM or DER; `default` is idevid-cert.crt.' }),
  ...bringingOptions,
  tls_dir: option({ parse: text, default: 'default', unused: true, doc: 'Of the Python agent.' }),
  measure_payload_pcr: option({ parse: text, default: '-1', unused: true, doc: 'Of the Python agent.' }),
  exponential_backoff: option({ parse: text, default: 'True', unused: true, doc: 'Of the Python agent.' }),
  retry_interval: option({ parse: text, default: '2', unused: true, doc: 'Of the Python agent.' }),
  max_retries: option({ parse: text, default: '4', unused: true, doc: 'Of the Python agent.' }),
})

export type AgentOptions = typeof agentOptions
