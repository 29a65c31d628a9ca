import { createLogger } from '../../io/log/logger.ts'
import { runService } from '../../io/service/run-service.ts'
import { printOwn } from '../../io/terminal/print.ts'
import { loadAgentSettings } from './agent-settings.ts'
import type { PushArguments } from './push-settings.ts'
import { startAgent } from './start.ts'
import { logLevel } from './upstream.ts'

const USAGE = `A program for attesting a machine with its TPM, that brings its evidence to the verifier

Usage: keylime_push_model_agent [OPTIONS]

Options:
  -v, --verifier-url <URL>                   Verifier [option verifier_url]
      --ca-certificate <FILE>                CA of the verifier [option verifier_tls_ca_cert]
      --agent-identifier <ID>                Id of this agent [option uuid]
      --attestation-interval-seconds <N>     Pause where the verifier says none [option attestation_interval_seconds]
      --registrar-url <URL>                  Registrar [options registrar_ip, registrar_port, registrar_tls_enabled]
      --timeout <MILLISECONDS>               Of a request to the verifier [default: 5000]
      --insecure                             Accept any certificate [option tls_accept_invalid_certs]
  -h, --help                                 Print help
`

/** Upstream's spellings, and the option of agent.conf that each is. */
const OPTIONS: Readonly<Record<string, string>> = {
  '--verifier-url': 'VERIFIER_URL',
  '--ca-certificate': 'VERIFIER_TLS_CA_CERT',
  '--agent-identifier': 'UUID',
  '--attestation-interval-seconds': 'ATTESTATION_INTERVAL_SECONDS',
}
const SHORT: Readonly<Record<string, string>> = { '-v': '--verifier-url', '-j': '--json-file', '-c': '--certificate', '-k': '--key' }
/** For upstream's own trials of single messages, and client certificates, which no verifier of API 3.0 reads: understood, without effect. */
const IDLE = new Set([
  '--api-version',
  '--json-file',
  '--attestation-index',
  '--message-type',
  '--method',
  '--session-index',
  '--avoid-tpm',
  '--certificate',
  '--key',
])

/** What the command line says: settings in place of the configuration's, and what was passed over, as upstream passes over what it does not know. */
export interface PushCommandLine {
  readonly env: Readonly<Record<string, string>>
  readonly given: PushArguments
  readonly passedOver: readonly string[]
  readonly wantsHelp: boolean
}

/** Parses as upstream's parser does that ignores errors: `--option VALUE` and `--option=VALUE`; a flag may stand before another option. */
export function readPushCommandLine(args: readonly string[]): PushCommandLine {
  const env: Record<string, string> = {}
  const passedOver: string[] = []
  let timeoutMs: number | undefined
  let wantsHelp = false
  for (let at = 0; at < args.length; at++) {
    const [, written = '', explicit] = /^(-[^=]*)(?:=(.*))?$/s.exec(args[at]!) ?? []
    const name = SHORT[written] ?? written
    const value = explicit ?? (hasValue(args[at + 1]) ? args[at + 1] : undefined)
    const takesNext = explicit === undefined && value !== undefined
    if (name === '-h' || name === '--help') wantsHelp = true
    else if (name === '--insecure') {
      env['KEYLIME_AGENT_TLS_ACCEPT_INVALID_CERTS'] = value === 'false' ? 'false' : 'true'
      if (takesNext && /^(true|false)$/.test(value)) at++
    } else if (value !== undefined && OPTIONS[name]) {
      env[`KEYLIME_AGENT_${OPTIONS[name]}`] = value
      if (takesNext) at++
    } else if (value !== undefined && name === '--registrar-url' && Object.assign(env, registrarOf(value))) {
      if (takesNext) at++
    } else if (name === '--timeout' && /^\d{1,7}$/.test(value ?? '')) {
      timeoutMs = Number(value)
      if (takesNext) at++
    } else {
      passedOver.push(args[at]!)
      if (IDLE.has(name) && takesNext) at++
    }
  }
  return { env, given: { push: true, ...(timeoutMs ? { timeoutMs } : {}) }, passedOver, wantsHelp }
}

const hasValue = (next: string | undefined) => next !== undefined && !/^--?[a-z]/.test(next)

/** Nothing for what is no URL. */
function registrarOf(text: string): Record<string, string> {
  const url = URL.parse(text)
  if (!url || !['http:', 'https:'].includes(url.protocol)) return {}
  const isTls = url.protocol === 'https:'
  return {
    KEYLIME_AGENT_REGISTRAR_IP: url.hostname.replace(/^\[|\]$/g, ''),
    KEYLIME_AGENT_REGISTRAR_TLS_ENABLED: String(isTls),
    ...(url.port ? { [`KEYLIME_AGENT_REGISTRAR_${isTls ? 'TLS_' : ''}PORT`]: url.port } : {}),
  }
}

/** `keylime_push_model_agent`: the agent that brings its evidence, by upstream's command line (push-wire 5). */
export async function runUpstream(args: string[]): Promise<number> {
  const { env, given, passedOver, wantsHelp } = readPushCommandLine(args)
  if (wantsHelp) {
    printOwn(USAGE)
    return 0
  }
  const logger = createLogger({ name: 'agent', level: logLevel(process.env['RUST_LOG']) })
  if (passedOver.length > 0) logger.warn('arguments without effect are ignored', { arguments: passedOver })
  return runService(logger, () => startAgent(loadAgentSettings({ ...process.env, ...env }, given), logger))
}
