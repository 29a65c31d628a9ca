import type { KeyObject } from 'node:crypto'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import { readCertificateFile } from '../../../io/files/certificate-store.ts'
import { findAgent } from '../services/find-agent.ts'
import { type TenantStart, withTenant } from '../start.ts'

/** The certificate of an EK that is to be looked at, and what came with it. */
export interface WantedCertificate {
  /** `file ek.der`, `agent ID` */
  readonly where: string
  readonly certificate: Certificate
  readonly intermediates: readonly Certificate[]
  /** The EK of a registered agent; null for a file, which has none beside it. */
  readonly ek: KeyObject | null
}

/** @throws KeylimeError `usage` unless there is one file or one agent, `not_found` for an agent without a certificate. */
export async function ekCertificateOf(
  start: TenantStart,
  files: readonly string[],
  agentId: string | undefined,
): Promise<WantedCertificate> {
  if ((agentId === undefined) === (files.length === 0) || files.length > 1)
    throw new KeylimeError('usage', 'which certificate? name one file, or one agent with -u')
  if (agentId === undefined) {
    const [file] = files as [string]
    const [certificate, ...intermediates] = await readCertificateFile(file)
    return { where: `file ${file}`, certificate: certificate!, intermediates, ek: null }
  }
  const found = await withTenant(start, (context) => findAgent(context, { agentId }))
  const { ekcert, ek_tpm: ek } = found.registered
  if (!ekcert || ekcert === 'emulator')
    throw new KeylimeError('not_found', `agent ${found.agentId} has registered without an EK certificate`, {
      hint: '`keylime doctor agent` on the machine says whether its TPM has one; a TPM without one needs ek_check_script, or require_ek_cert = False',
    })
  return {
    where: `agent ${found.agentId}`,
    certificate: readOf(ekcert),
    intermediates: [],
    ek: ek ? parsePublicArea(Buffer.from(ek, 'base64')).key : null,
  }
}

function readOf(text: string): Certificate {
  try {
    return parseCertificate(text)
  } catch (cause) {
    if (!isKeylimeError(cause)) throw cause
    throw new KeylimeError('ek_rejected', `the EK certificate cannot be read: ${cause.message}`, { cause })
  }
}
