import { execFile } from 'node:child_process'
import path from 'node:path'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { verifyEkCertificate } from '../../../core/identity/ek-certificate.ts'
import { parseCertificate, toPem } from '../../../core/pki/certificate.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { spkiOf } from '../../../core/spki.ts'
import { type PublicArea, parsePublicArea } from '../../../core/tpm/public-area.ts'
import { readCertificateStore } from '../../../io/files/certificate-store.ts'
import { exitReason, startFailure } from '../../../io/programs/start-failure.ts'
import type { TenantContext } from '../tenant-context.ts'

const UNREADABLE = 'register the agent again; if that does not help, its TPM needs ek_check_script'
const MAX_OUTPUT = 1024 * 1024

type Used = Pick<TenantContext, 'config' | 'clock' | 'env' | 'keylimeDir' | 'report'>

declare const checked: unique symbol

/** The EK of a machine, of which everything was looked at that tenant.conf demands. Only `checkEk` makes one, and a key share is sealed to no other. */
export interface CheckedEk {
  readonly [checked]: true
  /** Null only where nothing is demanded of it, and the registrar has none that can be read. */
  readonly area: PublicArea | null
}

/**
 * The EK is in a genuine TPM of a known maker: its certificate leads to `tpm_cert_store`, and `ek_check_script`, if there is one, says yes as well
 * (protocol 3.5). @throws KeylimeError `ek_rejected`.
 */
export async function checkEk(used: Used, agentId: string, registered: RegisteredAgent): Promise<CheckedEk> {
  const { config, report } = used
  if (!config.require_ek_cert && config.ek_check_script === '') {
    report({ type: 'ek_unchecked' })
    return proof(anyEk(registered.ek_tpm))
  }
  if (!registered.ek_tpm) throw rejected('the registrar has no EK of this agent', 'register the agent again')
  const ek = readEk(registered.ek_tpm)
  if (config.require_ek_cert) await checkCertificate(used, ek, registered.ekcert ?? '')
  if (config.ek_check_script !== '') await runScript(used, agentId, registered, ek)
  return proof(ek)
}

const proof = (area: PublicArea | null) => ({ area }) as unknown as CheckedEk

function anyEk(text: string | null | undefined): PublicArea | null {
  try {
    return text ? parsePublicArea(Buffer.from(text, 'base64')) : null
  } catch (error) {
    if (isKeylimeError(error)) return null
    throw error
  }
}

async function checkCertificate({ config, clock, keylimeDir, report }: Used, ek: PublicArea, text: string): Promise<void> {
  const directory = path.resolve(keylimeDir, config.tpm_cert_store)
  const { certificates, problems } = await readCertificateStore(directory)
  for (const problem of problems) report({ type: 'warning', text: problem })
  if (certificates.length === 0)
    throw rejected(
      `${directory} (tpm_cert_store) has no certificate of a TPM maker`,
      `put the certificates of your TPMs’ makers into ${directory}: PEM or DER, under any name`,
    )
  const question = { ekCertificate: readEkCertificate(text), ek, store: certificates, now: clock.now(), expiry: config.ek_cert_expiry }
  const verdict = verifyEkCertificate(question)
  if (!verdict.ok)
    throw rejected(
      `the EK certificate does not prove a genuine TPM: ${verdict.reason}`,
      verdict.hint.replaceAll('tpm_cert_store', directory),
    )
  const { maker, path: chain, expired } = verdict.verified
  if (expired.length > 0)
    report({
      type: 'warning',
      text: `certificates of the EK are past their end: ${expired.join(', ')} (accepted: ek_cert_expiry = accept)`,
    })
  report({ type: 'ek_verified', maker, anchor: chain.at(-1)?.subject ?? '' })
}

function readEk(text: string): PublicArea {
  try {
    return parsePublicArea(Buffer.from(text, 'base64'))
  } catch (cause) {
    if (isKeylimeError(cause))
      throw new KeylimeError('ek_rejected', `the registrar's EK cannot be read: ${cause.message}`, { cause, hint: UNREADABLE })
    throw cause
  }
}

function readEkCertificate(text: string): Certificate | null {
  if (text === '') return null
  if (text === 'emulator')
    throw rejected('the agent runs on an emulated TPM without a certificate', 'set require_ek_cert = False for tests')
  try {
    return parseCertificate(text)
  } catch (cause) {
    throw new KeylimeError('ek_rejected', `the EK certificate cannot be read: ${(cause as Error).message}`, { cause, hint: UNREADABLE })
  }
}

async function runScript(
  { config, env, keylimeDir, report }: Used,
  agentId: string,
  registered: RegisteredAgent,
  ek: PublicArea,
): Promise<void> {
  const script = path.resolve(keylimeDir, config.ek_check_script)
  const environment = {
    ...env,
    AGENT_UUID: agentId,
    EK: toPem(spkiOf(ek.key), 'PUBLIC KEY'),
    EK_TPM: registered.ek_tpm ?? '',
    EK_CERT: registered.ekcert ?? '',
    PROVKEYS: '{}',
    TPM_CERT_STORE: path.resolve(keylimeDir, config.tpm_cert_store),
  }
  const { code, output } = await run(script, keylimeDir, environment)
  const why = exitReason(script, code)
  if (code !== 0) {
    throw rejected(
      `ek_check_script ${script} says no (exit status ${code}${why ? `: ${why}` : ''})${output ? `:\n${output}` : ''}`,
      'run it by hand with the same environment to see why',
    )
  }
  report({ type: 'ek_script_passed', script, output })
}

function run(script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = execFile(script, { cwd, env, timeout: 60_000, maxBuffer: MAX_OUTPUT, encoding: 'utf8' }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim()
      if (error && typeof error.code === 'string') {
        reject(
          new KeylimeError(
            'script_failed',
            `ek_check_script ${script} cannot be run: ${startFailure(script, error as NodeJS.ErrnoException)}`,
            {
              cause: error,
              hint: 'check ek_check_script in tenant.conf and its mode',
            },
          ),
        )
      } else resolve({ code: error ? (child.exitCode ?? 1) : 0, output })
    })
  })
}

const rejected = (message: string, hint: string) => new KeylimeError('ek_rejected', message, { hint })
