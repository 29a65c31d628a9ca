import fs from 'node:fs'
import { KeylimeError } from '../../core/errors.ts'
import type { AgentSettings } from './agent-settings.ts'

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
    clients: values.enable_agent_mtls ? paths.trustedClientCa.map((file) => readText(file, 'trusted_client_ca')) : [],
    registrar: values.registrar_tls_enabled ? [readText(paths.registrarCa, 'registrar_tls_ca_cert')] : [],
  }
}

function readText(file: string, option: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (cause) {
    throw new KeylimeError('config_invalid', `cannot read ${file} (${option}): ${(cause as Error).message}`, {
      cause,
      hint:
        (cause as NodeJS.ErrnoException).code === 'EACCES'
          ? `let the user who runs the agent read it: chmod 644 ${file}`
          : "copy cv_ca/cacert.crt from the verifier's machine to the same place here, or correct the option",
    })
  }
}
