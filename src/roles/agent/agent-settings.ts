import path from 'node:path'
import { agentOptions } from '../../config/agent.ts'
import { type Config, loadConfig, refuseProblems } from '../../config/load.ts'
import { AGENT_API_VERSIONS, compareVersions } from '../../core/api/versions.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'
import { KEY_KINDS } from '../../core/tpm/templates.ts'
import { revocationListFiles } from '../../io/files/tls-identity.ts'
import type { AkKind } from '../../io/tpm/ak.ts'
import type { DeviceKeyOptions } from '../../io/tpm/iak-idevid.ts'
import { type PushArguments, type PushSettings, pushProblems, pushSettings } from './push-settings.ts'

type AgentConfig = Config<typeof agentOptions>
type AgentValues = AgentConfig['values']

/** The configuration with paths made absolute and words turned into what they mean. */
export interface AgentSettings {
  values: AgentValues
  warnings: readonly string[]
  /** What scripts and actions inherit. */
  env: NodeJS.ProcessEnv
  /** Somebody set `run_as`. */
  runAsChosen: boolean
  /** The agent listens nowhere and brings its evidence to a verifier. */
  push: PushSettings | null
  /** `server_cert` names a file: it is the operator's. */
  namesServerCert: boolean
  keylimeDir: string
  apiVersions: string[]
  ak: AkKind
  ownerAuth: Buffer
  paths: {
    serverKey: string
    serverCert: string
    payloadKey: string
    agentData: string
    imaLog: string
    bootLog: string
    systemdLog: string
    secure: string
    registrarCa: string
    verifierCa: string
    revocationCert: string
    iakCert: string
    idevidCert: string
    trustedClientCa: string[]
    /** The newest order of a delivery that this machine has accepted. */
    acceptedOrder: string
    /** Authorities that this agent has followed. */
    followed: string
    /** Or `default`. */
    trustedClientCrl: string[]
  }
  deviceKeys: { iak: DeviceKeyOptions; idevid: DeviceKeyOptions } | null
  /** Largest request with a payload: upstream's 2 MiB, or what fits into the tmpfs. */
  maxPayloadBody: number
}

/** Loads and resolves the agent's configuration. @throws KeylimeError `config_invalid`, also for options that do not go together. */
export function loadAgentSettings(env: NodeJS.ProcessEnv, given: PushArguments = {}): AgentSettings {
  const { settings, problems } = readAgentSettings(env, given)
  refuseProblems('agent', problems)
  return settings
}

/** The same for a check: values that cannot be used count as their defaults, so that the rest can be looked at too. */
export function readAgentSettings(env: NodeJS.ProcessEnv, given: PushArguments = {}): { settings: AgentSettings; problems: string[] } {
  const config = loadConfig('agent', agentOptions, { env, tolerant: true })
  const { values } = config
  const push = pushSettings(config, given)
  const { versions, warnings } = push
    ? apiVersions('registrar_api_versions', values.registrar_api_versions)
    : apiVersions('api_versions', values.api_versions)
  const settings = settingsOf(
    { config, env, push },
    { versions, warnings: [...config.warnings, ...warnings, ...idleOptions(values, push)] },
  )
  return {
    settings,
    problems: [...config.problems, ...togetherProblems(values, push), ...passwordProblems(values), ...pushProblems(config, given)],
  }
}

interface Versions {
  readonly versions: string[]
  readonly warnings: readonly string[]
}

interface Read {
  readonly config: AgentConfig
  readonly env: NodeJS.ProcessEnv
  readonly push: PushSettings | null
}

function settingsOf({ config, env, push }: Read, { versions, warnings }: Versions): AgentSettings {
  const { values } = config
  const keylimeDir = path.resolve(env['KEYLIME_DIR'] || values.keylime_dir || config.keylimeDir)
  return {
    values,
    warnings,
    env,
    runAsChosen: config.origin.run_as !== 'default',
    push,
    namesServerCert: !['', 'default'].includes(values.server_cert),
    keylimeDir,
    apiVersions: versions,
    ak: { kind: KEY_KINDS[values.tpm_encryption_alg], hash: values.tpm_hash_alg as HashName, signing: values.tpm_signing_alg },
    ownerAuth: authBytes(values.tpm_ownerpassword.reveal()) ?? NO_AUTH,
    paths: pathsOf(values, keylimeDir),
    deviceKeys: values.enable_iak_idevid ? deviceKeysOf(values) : null,
    maxPayloadBody: Math.max(2 << 20, 2 * sizeBytes(values.secure_size)),
  }
}

/** What an agent that listens nowhere has no use for, and an operator may take for a protection less. */
const idleOptions = (values: AgentValues, push: PushSettings | null): string[] =>
  push && !values.enable_agent_mtls
    ? ['enable_agent_mtls = false changes nothing: this agent does not listen, and uses TLS to its verifier (remove the line)']
    : []

function togetherProblems(values: AgentValues, push: PushSettings | null): string[] {
  const isRsa = values.tpm_encryption_alg.startsWith('rsa')
  const cannotSign = isRsa !== (values.tpm_signing_alg !== 'ecdsa')
  const letsAnybodyRun = push === null && !values.enable_agent_mtls && !values.enable_insecure_payload && values.payload_script !== ''
  return [
    ...(cannotSign
      ? [
          `tpm_encryption_alg = ${values.tpm_encryption_alg} cannot sign with ${values.tpm_signing_alg} (rsassa and rsapss go with rsa, ecdsa with ecc)`,
        ]
      : []),
    ...(letsAnybodyRun
      ? [
          'without TLS (enable_agent_mtls) anyone could send a payload with a script (switch enable_agent_mtls on; or set payload_script = "", or enable_insecure_payload = true if you accept that)',
        ]
      : []),
  ]
}

const PASSWORDS = ['tpm_ownerpassword', 'iak_password', 'idevid_password'] as const

const passwordProblems = (values: AgentValues): string[] =>
  PASSWORDS.filter((name) => authBytes(values[name].reveal()) === undefined).map(
    (name) => `${name} begins with "hex:", and must continue with pairs of hexadecimal digits`,
  )

function apiVersions(option: string, wanted: readonly string[]): { versions: string[]; warnings: string[] } {
  const all = [...AGENT_API_VERSIONS]
  if (wanted.length === 0 || wanted.includes('default')) return { versions: all, warnings: [] }
  if (wanted.includes('latest')) return { versions: all.slice(-1), warnings: [] }
  const versions = all.filter((version) => wanted.includes(version)).toSorted(compareVersions)
  const unknown = wanted.filter((version) => !all.includes(version as (typeof all)[number]))
  const warnings = unknown.map((version) => `${option}: ${version} is not supported and left out`)
  if (versions.length > 0) return { versions, warnings }
  return { versions: all, warnings: [...warnings, `${option}: no supported version is left, all are offered`] }
}

function pathsOf(values: AgentValues, keylimeDir: string): AgentSettings['paths'] {
  const below = (value: string, standard: string) => path.resolve(keylimeDir, value === 'default' || value === '' ? standard : value)
  const optional = (value: string, standard: string) => (value === '' ? '' : below(value, standard))
  return {
    serverKey: below(values.server_key, 'server-private.pem'),
    serverCert: below(values.server_cert, 'server-cert.crt'),
    payloadKey: below(values.payload_key, 'payload-private.pem'),
    agentData: below(values.agent_data_path, 'agent_data.json'),
    imaLog: path.resolve('/', values.ima_ml_path === 'default' ? IMA_LOG : values.ima_ml_path || IMA_LOG),
    bootLog: path.resolve('/', values.measuredboot_ml_path === 'default' ? BOOT_LOG : values.measuredboot_ml_path || BOOT_LOG),
    systemdLog: path.resolve('/', values.systemd_ml_path === 'default' ? SYSTEMD_LOG : values.systemd_ml_path || SYSTEMD_LOG),
    secure: path.join(keylimeDir, 'secure'),
    registrarCa: below(values.registrar_tls_ca_cert, 'cv_ca/cacert.crt'),
    verifierCa: below(values.verifier_tls_ca_cert, 'cv_ca/cacert.crt'),
    revocationCert: below(values.revocation_cert, 'secure/unzipped/RevocationNotifier-cert.crt'),
    iakCert: optional(values.iak_cert, 'iak-cert.crt'),
    idevidCert: optional(values.idevid_cert, 'idevid-cert.crt'),
    trustedClientCrl: revocationListFiles(values.trusted_client_crl, keylimeDir),
    acceptedOrder: path.join(keylimeDir, 'accepted-delivery.json'),
    followed: path.join(keylimeDir, 'followed-authorities.json'),
    trustedClientCa: values.trusted_client_ca.map((file) => below(file, 'cv_ca/cacert.crt')),
  }
}

const IMA_LOG = '/sys/kernel/security/ima/ascii_runtime_measurements'
const SYSTEMD_LOG = '/run/log/systemd/tpm2-measure.log'
const BOOT_LOG = '/sys/kernel/security/tpm0/binary_bios_measurements'

const TEMPLATES: Record<string, { type: 'rsa' | 'ecc'; nameAlg: HashName }> = {
  'H-1': { type: 'rsa', nameAlg: 'sha256' },
  'H-2': { type: 'ecc', nameAlg: 'sha256' },
  'H-3': { type: 'ecc', nameAlg: 'sha384' },
  'H-4': { type: 'ecc', nameAlg: 'sha512' },
}

function deviceKeysOf(values: AgentValues): AgentSettings['deviceKeys'] {
  const manual = { type: values.iak_idevid_asymmetric_alg, nameAlg: values.iak_idevid_name_alg }
  const template = values.iak_idevid_template === 'manual' ? manual : (TEMPLATES[values.iak_idevid_template] ?? TEMPLATES['H-1']!)
  return {
    iak: { ...template, handle: values.iak_handle, auth: authBytes(values.iak_password.reveal()) ?? NO_AUTH },
    idevid: { ...template, handle: values.idevid_handle, auth: authBytes(values.idevid_password.reveal()) ?? NO_AUTH },
  }
}

/** Undefined for digits that are none. */
function authBytes(text: string): Buffer | undefined {
  if (!text.startsWith('hex:')) return Buffer.from(text)
  const digits = text.slice(4)
  return digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits) ? undefined : Buffer.from(digits, 'hex')
}

const NO_AUTH = Buffer.alloc(0)

const UNITS: Record<string, number> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 }

/** Zero for a share of the memory (`5%`). */
function sizeBytes(text: string): number {
  const [, digits = '0', unit = ''] = /^(\d+)([kmg%]?)$/i.exec(text) ?? []
  return Number(digits) * (UNITS[unit.toLowerCase()] ?? 0)
}
