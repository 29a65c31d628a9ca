import path from 'node:path'
import { agentOptions } from '../../config/agent.ts'
import { caOptions } from '../../config/ca.ts'
import { type Environment, keylimeDirectory } from '../../config/files.ts'
import { loadConfig } from '../../config/load.ts'
import type { OptionTable } from '../../config/option.ts'
import { registrarOptions } from '../../config/registrar.ts'
import type { ConfiguredRole } from '../../config/tables.ts'
import { tenantOptions } from '../../config/tenant.ts'
import { verifierOptions } from '../../config/verifier.ts'
import { type DatabasePlace, databasePlace } from '../../io/db/open-database.ts'
import { clientRequest, serverRequest, type TlsIdentityRequest, tlsDirectory } from '../../io/files/tls-identity.ts'

/** Where a role listens, whom it calls and what it keeps, by its configuration. Values that cannot be used count as their defaults. */
export interface Whereabouts {
  readonly keylimeDir: string
  readonly listens: readonly Listening[]
  readonly identities: readonly Identity[]
  readonly peers: readonly Peer[]
  /** Absolute paths of SQLite databases, which need not be there, and servers. */
  readonly databases: readonly DatabasePlace[]
  /** Of the agent. */
  readonly machine: Machine | null
}

export interface Listening {
  readonly role: ConfiguredRole
  /** The role whose process it is: the verifier's, of a registrar that is hosted inside. */
  readonly service: ConfiguredRole
  /** `port`, `tls_port`: the option that changes it. */
  readonly option: string
  readonly ip: string
  readonly port: number
}

export interface Identity {
  readonly role: ConfiguredRole
  /** As of what listens. */
  readonly service: ConfiguredRole
  readonly request: TlsIdentityRequest
  /** Names and addresses that its certificate is for. */
  readonly names: readonly string[]
  /** The service makes it, and another when it is missing. */
  readonly isMade: boolean
}

export interface Peer {
  readonly name: 'registrar' | 'verifier'
  /** The option that changes its address. */
  readonly option: string
  readonly host: string
  readonly port: number
  readonly tls: PeerTls | null
}

export interface PeerTls {
  /** Absolute paths of the CAs that may vouch for it. */
  readonly trusted: readonly string[]
  /** What this side shows. */
  readonly identity: TlsIdentityRequest | null
  /** Its certificate must be for its name, and not only be of the right CA. */
  readonly namesCount: boolean
}

export interface Machine {
  /** `tpm_hash_alg` */
  readonly hash: string
  /** `tpm_encryption_alg` */
  readonly keys: string
  readonly imaList: string
  readonly bootLog: string
  /** Makers' certificates: `tpm_cert_store` of tenant.conf. */
  readonly certificateStore: string
}

/** Whether the registrar runs inside of the verifier. */
export const hostsRegistrar = (env: Environment): boolean => read('verifier', verifierOptions, env).values.host_registrar

/** @throws KeylimeError `config_invalid` only for a file that the environment names and that is not there. */
export function whereaboutsOf(role: ConfiguredRole, env: Environment): Whereabouts {
  switch (role) {
    case 'agent':
      return agent(env)
    case 'verifier':
      return verifier(env)
    case 'registrar':
      return registrar(env)
    case 'tenant':
      return tenant(env)
    case 'ca':
      return ca(env)
  }
}

const NOTHING = { listens: [], identities: [], peers: [], databases: [], machine: null }

const read = <T extends OptionTable>(role: ConfiguredRole, table: T, env: Environment) => loadConfig(role, table, { env, tolerant: true })

function agent(env: Environment): Whereabouts {
  const { values } = read('agent', agentOptions, env)
  const keylimeDir = keylimeDirectory({ ...env, KEYLIME_DIR: env['KEYLIME_DIR'] || values.keylime_dir })
  const at = (value: string, standard: string) => path.resolve(keylimeDir, value === 'default' ? standard : value)
  const brings = values.mode === 'push' || (values.mode === 'default' && values.ip === '')
  const url = URL.parse(values.verifier_url)
  const tls = (value: string, namesCount: boolean): PeerTls => ({ trusted: [at(value, 'cv_ca/cacert.crt')], identity: null, namesCount })
  const secured = values.registrar_tls_enabled
  const peers: Peer[] = [
    {
      name: 'registrar',
      option: 'registrar_ip',
      host: values.registrar_ip,
      port: secured ? values.registrar_tls_port : values.registrar_port,
      tls: secured ? tls(values.registrar_tls_ca_cert, false) : null,
    },
  ]
  if (brings && url)
    peers.push({
      name: 'verifier',
      option: 'verifier_url',
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 443),
      tls: tls(values.verifier_tls_ca_cert, !values.tls_accept_invalid_hostnames),
    })
  return {
    ...NOTHING,
    keylimeDir,
    listens: brings ? [] : [{ role: 'agent', service: 'agent', option: 'port', ip: values.ip, port: values.port }],
    peers,
    machine: {
      hash: values.tpm_hash_alg,
      keys: values.tpm_encryption_alg,
      imaList: at(values.ima_ml_path, '/sys/kernel/security/ima/ascii_runtime_measurements'),
      bootLog: at(values.measuredboot_ml_path, '/sys/kernel/security/tpm0/binary_bios_measurements'),
      certificateStore: path.resolve(keylimeDir, read('tenant', tenantOptions, env).values.tpm_cert_store),
    },
  }
}

function verifier(env: Environment): Whereabouts {
  const { values, keylimeDir } = read('verifier', verifierOptions, env)
  const directory = tlsDirectory(values.tls_dir, keylimeDir, 'verifier')
  const isMade = values.tls_dir === 'generate'
  const hosted = values.host_registrar ? registrar(env, 'verifier') : { ...NOTHING, keylimeDir }
  const server = serverRequest(values, { keylimeDir, directory })
  const client = clientRequest(values, { keylimeDir, directory })
  return {
    ...NOTHING,
    keylimeDir,
    listens: [
      { role: 'verifier', service: 'verifier', option: 'port', ip: values.ip, port: values.port },
      ...metricsOf('verifier', 'verifier', values),
      ...hosted.listens,
    ],
    identities: [
      { role: 'verifier', service: 'verifier', request: server, names: ownNames(values), isMade },
      { role: 'verifier', service: 'verifier', request: client, names: [], isMade },
      ...hosted.identities,
    ],
    databases: [databasePlace(values, path.join(keylimeDir, 'cv_data.sqlite')), ...hosted.databases],
  }
}

function registrar(env: Environment, service: ConfiguredRole = 'registrar'): Whereabouts {
  const { values, keylimeDir } = read('registrar', registrarOptions, env)
  const directory = tlsDirectory(values.tls_dir, keylimeDir, 'registrar')
  const request = serverRequest(values, { keylimeDir, directory })
  const listens = (['port', 'tls_port'] as const).map((option) => ({
    role: 'registrar' as const,
    service,
    option,
    ip: values.ip,
    port: values[option],
  }))
  return {
    ...NOTHING,
    keylimeDir,
    listens: [...listens, ...metricsOf('registrar', service, values)],
    identities: [{ role: 'registrar', service, request, names: ownNames(values), isMade: values.tls_dir === 'generate' }],
    databases: [databasePlace(values, path.join(keylimeDir, 'reg_data.sqlite'))],
  }
}

function metricsOf(
  role: ConfiguredRole,
  service: ConfiguredRole,
  { metrics_ip: ip, metrics_port: port }: { metrics_ip: string; metrics_port: number },
): Listening[] {
  return ip === '' ? [] : [{ role, service, option: 'metrics_port', ip, port }]
}

function tenant(env: Environment): Whereabouts {
  const { values, keylimeDir } = read('tenant', tenantOptions, env)
  const directory = tlsDirectory(values.tls_dir, keylimeDir, 'tenant')
  const request = clientRequest(values, { keylimeDir, directory })
  const trusted = values.trusted_server_ca.map((item) =>
    item === 'default' ? path.join(keylimeDir, 'cv_ca/cacert.crt') : path.resolve(directory, item),
  )
  const peer = (name: Peer['name'], host: string, port: number): Peer => ({
    name,
    option: `${name}_ip`,
    host,
    port,
    tls: { trusted, identity: request, namesCount: false },
  })
  return {
    ...NOTHING,
    keylimeDir,
    identities: [{ role: 'tenant', service: 'tenant', request, names: [], isMade: false }],
    peers: [peer('verifier', values.verifier_ip, values.verifier_port), peer('registrar', values.registrar_ip, values.registrar_port)],
  }
}

function ca(env: Environment): Whereabouts {
  const { values, keylimeDir } = read('ca', caOptions, env)
  const ports = (['listen_port', 'listen_tls_port'] as const).filter((option) => values[option] !== 0)
  return {
    ...NOTHING,
    keylimeDir,
    listens: ports.map((option) => ({ role: 'ca', service: 'ca', option, ip: values.listen_ip, port: values[option] })),
  }
}

/** What others may call a server by; of one that listens everywhere only what the operator has named. */
const ownNames = ({
  ip,
  cert_subject_alternative_names: more,
}: {
  ip: string
  cert_subject_alternative_names: readonly string[]
}): string[] => [ip, ...more].filter((name) => name !== '' && !['0.0.0.0', '::'].includes(name))
