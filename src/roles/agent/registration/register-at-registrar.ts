import { setTimeout as sleep } from 'node:timers/promises'
import { urlHostPort } from '../../../core/api/host-port.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { openApiClient } from '../../../io/http/api-client.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import type { AgentIdentity } from '../identity/open-identity.ts'
import { registerWithRetries } from './register-agent.ts'

const TIMEOUT_SECONDS = 60

export interface Registration {
  readonly settings: AgentSettings
  readonly identity: AgentIdentity
  /** The agent's own certificate, PEM; null without TLS. */
  readonly certificate: string | null
  /** CAs of the registrar, PEM. */
  readonly registrarCa: readonly string[]
}

/** Registers the agent at the registrar of the configuration, again and again as it says. @throws KeylimeError of the last attempt. */
export async function registerAtRegistrar({ settings, identity, certificate, registrarCa }: Registration, logger: Logger): Promise<void> {
  const { values } = settings
  const client = openApiClient({
    url: values.registrar_tls_enabled
      ? `https://${urlHostPort(values.registrar_ip, values.registrar_tls_port)}`
      : `http://${urlHostPort(values.registrar_ip, values.registrar_port)}`,
    host: values.registrar_ip,
    name: 'registrar',
    timeoutSeconds: TIMEOUT_SECONDS,
    ...(values.registrar_tls_enabled ? { tls: { ca: [...registrarCa] } } : {}),
  })
  const backOff = {
    initialDelayMs: values.exponential_backoff_initial_delay,
    maxRetries: values.exponential_backoff_max_retries,
    maxDelayMs: values.exponential_backoff_max_delay,
  }
  const request = {
    client,
    identity,
    iak: settings.deviceKeys?.iak,
    contact: settings.push ? settings.push.contact : { ip: values.contact_ip, port: values.contact_port },
    mtlsCert: certificate ?? (settings.push ? null : 'disabled'), // absent would make tenants fall back to API 1.0
    apiVersions: settings.apiVersions,
    logger,
  }
  try {
    await registerWithRetries(request, backOff, (milliseconds) => sleep(milliseconds))
    await identity.settle()
  } catch (error) {
    if (identity.keyMismatch === null || !isKeylimeError(error) || error.code !== 'refused') throw error
    throw new KeylimeError('refused', error.message, {
      cause: error.cause,
      hint: `this start uses another attestation key than the last one: the saved key is ${identity.keyMismatch}. If you set that back, nothing is lost; if you want the change, run \`keylime tenant replace ${identity.agentId}\` first`,
    })
  } finally {
    await client.close()
  }
}
