import { urlHostPort } from '../../../core/api/host-port.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type RegisteredAgent, registeredAgent } from '../../../core/api/registrar.ts'
import { CURRENT_VERSION } from '../../../core/api/versions.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { TlsIdentity } from '../../../io/files/tls-identity.ts'
import { openApiClient } from '../../../io/http/api-client.ts'

/** What the registrar has of an agent; null for one that it does not know. @throws KeylimeError when it cannot be asked. */
export type AskRegistrar = (agentId: string) => Promise<RegisteredAgent | null>

export interface RegistrarPlace {
  readonly host: string
  readonly port: number
  readonly timeoutSeconds: number
  /** The certificate of the verifier as a client, and whom it believes: those that count now. */
  client(): TlsIdentity
}

/** A connection a question: there are few, and the certificate may be another each time. */
export function registrarAt({ host, port, timeoutSeconds, client: identityOf }: RegistrarPlace): AskRegistrar {
  const url = `https://${urlHostPort(host, port)}`
  return async (agentId) => {
    const { cert, key, keyPassword, ca } = identityOf()
    const tls = { cert, key, ca, ...(keyPassword ? { keyPassword } : {}) }
    const client = openApiClient({ url, host, name: 'registrar', tls, timeoutSeconds })
    try {
      const { status, message, results } = await client.request('GET', `/v${CURRENT_VERSION}/agents/${encodeURIComponent(agentId)}`)
      if (status === 404) return null
      if (status !== 200) throw new KeylimeError('refused', `the registrar answered ${status} ${message}`.trim())
      return parseMessage(registeredAgent, results, 'the registrar’s answer')
    } finally {
      await client.close()
    }
  }
}
