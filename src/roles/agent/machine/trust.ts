import { readTextSync } from '../../../io/files/read-file.ts'
import type { AgentSettings } from '../agent-settings.ts'

/** Certificates of the CAs that the agent believes, PEM. */
export interface Trust {
  /** Of those who may call it; none without TLS. */
  clients: string[]
  /** Of the registrar; none when it is reached without TLS. */
  registrar: string[]
}

/** Reads them all. While the agent is root still: a copied file often can be read by root alone. @throws KeylimeError `config_invalid`. */
export function readTrust({ values, paths }: AgentSettings): Trust {
  return {
    clients: values.enable_agent_mtls ? paths.trustedClientCa.map((file) => readTrusted(file, 'trusted_client_ca')) : [],
    registrar: values.registrar_tls_enabled ? [readTrusted(paths.registrarCa, 'registrar_tls_ca_cert')] : [],
  }
}

const readTrusted = (file: string, option: string) =>
  readTextSync(file, {
    option,
    code: 'config_invalid',
    hint: "copy cv_ca/cacert.crt from the verifier's machine to the same place here, or correct the option",
  })
