import { createHash } from 'node:crypto'
import { KeylimeError } from '../../core/errors.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'
import { type DeviceKey, deviceKeyTemplate } from '../../core/tpm/device-identity-templates.ts'
import type { AttestationKeys } from './attestation-keys.ts'
import type { SignedAttest, Tpm, TpmHandle } from './tpm.ts'

export interface DeviceKeyOptions {
  type: 'rsa' | 'ecc'
  nameAlg: HashName
  /** Persistent handle of a key that the manufacturer left; undefined makes it from the template. */
  handle: number | undefined
  /** Password of a persisted key. */
  auth: Buffer
}

/** TPM2B_PUBLIC of the device keys. */
export interface DeviceKeys {
  iak: Buffer
  idevid: Buffer
}

/** Reads the public parts; nothing stays loaded. */
export async function readDeviceKeys(tpm: Tpm, iak: DeviceKeyOptions, idevid: DeviceKeyOptions): Promise<DeviceKeys> {
  return {
    iak: await withDeviceKey(tpm, 'iak', iak, async (_handle, bytes) => bytes),
    idevid: await withDeviceKey(tpm, 'idevid', idevid, async (_handle, bytes) => bytes),
  }
}

/**
 * The IAK certifies the AK for this agent id (protocol 2.8): SHA-256 of the id since API 2.6, before that the id itself.
 * @param hashId true when the registrar knows 2.6.
 */
export function certifyAk(keys: AttestationKeys, iak: DeviceKeyOptions, agentId: string, hashId: boolean): Promise<SignedAttest> {
  const data = hashId ? createHash('sha256').update(agentId).digest() : Buffer.from(agentId)
  return keys.use(({ tpm, ak }) => withDeviceKey(tpm, 'iak', iak, (handle) => tpm.certify(ak, handle, data)))
}

async function withDeviceKey<T>(
  tpm: Tpm,
  which: DeviceKey,
  options: DeviceKeyOptions,
  work: (handle: TpmHandle, publicArea: Buffer) => Promise<T>,
): Promise<T> {
  if (options.handle !== undefined) {
    const handle = await tpm.openPersistent(options.handle)
    try {
      if (options.auth.length > 0) await tpm.setAuth(handle, options.auth)
      return await work(handle, (await tpm.readPublic(handle)).public)
    } finally {
      await tpm.closeHandle(handle).catch(() => {})
    }
  }
  const template = deviceKeyTemplate(which, options.type, options.nameAlg)
  if (!template)
    throw new KeylimeError('config_invalid', `no ${which} template is known for ${options.type} with ${options.nameAlg}`, {
      hint: 'iak_idevid_name_alg can be sha256, sha384 or sha512',
    })
  const created = await tpm.createPrimary('endorsement', template)
  try {
    return await work(created.handle, created.public)
  } finally {
    await tpm.flush(created.handle).catch(() => {})
  }
}
