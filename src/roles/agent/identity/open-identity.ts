import { KeylimeError } from '../../../core/errors.ts'
import { toPem } from '../../../core/pki/certificate.ts'
import type { PublicArea } from '../../../core/tpm/public-area.ts'
import { readFileSync } from '../../../io/files/read-file.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { AttestationKeys } from '../../../io/tpm/attestation-keys.ts'
import { derSequences } from '../../../io/tpm/der-sequences.ts'
import { readEkCertificates } from '../../../io/tpm/ek.ts'
import { readDeviceKeys } from '../../../io/tpm/iak-idevid.ts'
import type { Tpm } from '../../../io/tpm/tpm.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { chooseAgentId, ekHashOf } from './choose-agent-id.ts'
import { type KeyShelf, openKeyShelf } from './key-shelf.ts'

/** Who this machine is: its TPM's keys and the id that follows from the configuration. */
export interface AgentIdentity {
  agentId: string
  keys: AttestationKeys
  /** Why another attestation key is used than the one that was saved last; null for none. */
  keyMismatch: string | null
  /** The registrar took the attestation key: from now on it is the agent's. */
  settle(): Promise<void>
  /** EK certificate first, then its chain in reverse order of storage, as upstream sends it; null when the TPM has none. */
  ekCertificatePem: string | null
  deviceKeys: { iak: Buffer; idevid: Buffer; iakCert: Buffer | null; idevidCert: Buffer | null } | null
}

/** Opens the TPM's keys; the AK of an earlier run is used again when it still can be (protocol 2.1, steps 7 to 11). */
export async function openIdentity(tpm: Tpm, settings: AgentSettings, logger: Logger): Promise<AgentIdentity> {
  if (settings.ownerAuth.length > 0) await tpm.setHierarchyAuth('endorsement', settings.ownerAuth)
  const { ak } = settings
  let shelf: KeyShelf | undefined
  const savedAks = async (ek: PublicArea) => {
    shelf = await openKeyShelf(settings.paths.agentData, { hash: ak.hash, signing: ak.signing, ekHash: ekHashOf(ek.key) }, logger)
    return shelf.candidates
  }
  const keys = await AttestationKeys.open({ tpm, kind: ak, ekHandle: settings.values.ek_handle, savedAks, logger })
  const ekHash = ekHashOf(keys.ekArea.key)
  const keyMismatch = shelf?.mismatch(keys.akBlob) ?? null
  if (keyMismatch)
    logger.warn(`the saved attestation key is ${keyMismatch}: it is kept, and ${keys.akIsNew ? 'a new' : 'an earlier'} one is used`, {
      file: settings.paths.agentData,
    })
  if (keys.akIsNew) await shelf?.keep(keys.akBlob) // before it is registered: a registrar knows an id by its key, and takes no other
  const certificates = await readEkCertificates(tpm, ak.kind)
  if (!certificates) logger.warn('this TPM has no EK certificate for this kind of key: tenants will ask for it', { kind: ak.kind })
  return {
    agentId: chooseAgentId(settings.values.uuid, ekHash, settings.env),
    keys,
    keyMismatch,
    settle: async () => shelf?.settle(keys.akBlob),
    ekCertificatePem: certificates && [certificates.certificate, ...certificates.chain.toReversed()].map((der) => toPem(der)).join(''),
    deviceKeys: settings.deviceKeys && (await openDeviceKeys(keys, settings)),
  }
}

async function openDeviceKeys(keys: AttestationKeys, { deviceKeys, paths }: AgentSettings): Promise<AgentIdentity['deviceKeys']> {
  const areas = await keys.use(({ tpm }) => readDeviceKeys(tpm, deviceKeys!.iak, deviceKeys!.idevid))
  return { ...areas, iakCert: readDer(paths.iakCert), idevidCert: readDer(paths.idevidCert) }
}

function readDer(file: string): Buffer | null {
  if (file === '') return null
  const hint = 'put the certificate there, or set iak_cert and idevid_cert; an empty value means none'
  const bytes = readFileSync(file, { what: 'the certificate', code: 'config_invalid', hint })
  const pem = /-----BEGIN CERTIFICATE-----([^-]*)-----END/.exec(bytes.toString('latin1'))?.[1]
  const der = derSequences(pem ? Buffer.from(pem, 'base64') : bytes)[0]
  if (!der) throw new KeylimeError('config_invalid', `${file} holds no certificate`)
  return der
}
