import { registrationTag } from '../../src/core/payload/auth-tag.ts'
import { parseCredentialBlob } from '../../src/core/tpm/make-credential.ts'
import type { ApiClient } from '../../src/io/http/api-client.ts'
import { silentLogger } from '../../src/io/log/logger.ts'
import { AttestationKeys } from '../../src/io/tpm/attestation-keys.ts'
import { openTpm } from '../../src/io/tpm/open-tpm.ts'
import { startSwtpm } from '../swtpm.ts'

/** A software TPM with its keys: what registers. */
export async function tpmMachine() {
  const swtpm = await startSwtpm()
  const tpm = await openTpm({ tcti: swtpm.tcti })
  const kind = { kind: 'ecc256', hash: 'sha256', signing: 'ecdsa' } as const
  const keys = await AttestationKeys.open({ tpm, kind: kind as never, ekHandle: undefined, savedAks: async () => [], logger: silentLogger })
  const body = {
    ek_tpm: keys.ekPublic.toString('base64'),
    aik_tpm: keys.akBlob.public.toString('base64'),
    ip: '10.0.0.7',
    port: 9002,
    mtls_cert: 'disabled',
  }
  return {
    body,
    /** Registers and answers the challenge. @returns the last status. @throws when the registrar is gone. */
    async enrol(registrar: ApiClient, id: string, changes: object = {}): Promise<number> {
      const { status, results } = await registrar.request('POST', `/v2.6/agents/${id}`, { body: { ...body, ...changes } })
      if (status !== 200) return status
      const blob = parseCredentialBlob(Buffer.from((results as { blob: string }).blob, 'base64'))
      const tag = registrationTag(await keys.use(({ ek, ak }) => tpm.activateCredential(ak, ek, blob)), id)
      return (await registrar.request('PUT', `/v2.6/agents/${id}`, { body: { auth_tag: tag } })).status
    },
    async stop() {
      tpm.close()
      await swtpm.stop()
    },
  }
}
