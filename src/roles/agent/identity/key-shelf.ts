import fs from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from '../../../io/log/logger.ts'
import type { KeyBlob } from '../../../io/tpm/tpm.ts'
import { type AgentData, readAgentData, writeAgentData } from './agent-data.ts'

/** For which TPM and which settings an attestation key is. */
export type KeyPlace = Pick<AgentData, 'hash' | 'signing' | 'ekHash'>

/**
 * The attestation keys that an agent has had: that of `agent_data_path`, which counts, and beside it one for each TPM and setting that it was started with. A
 * start with a wrong TCTI, hash or kind of key finds another key, or makes one, and takes nothing away: with the right settings the right key is there again.
 */
export interface KeyShelf {
  /** Keys that may be the one that is wanted, the likeliest first: the TPM loads only its own. */
  readonly candidates: readonly KeyBlob[]
  /** Why another key is used than that of the file; null when it is used, or when there was none. */
  mismatch(used: KeyBlob): string | null
  /** Keeps a new key, beside the one of the file. */
  keep(ak: KeyBlob): Promise<void>
  /** The registrar took it: from now on it is that of the file; the one before is kept beside it. */
  settle(ak: KeyBlob): Promise<void>
}

/** Looks for the keys of earlier starts. */
export async function openKeyShelf(file: string, place: KeyPlace, logger: Logger): Promise<KeyShelf> {
  const current = readAgentData(file, logger)
  const other = readAgentData(besideFile(file, place), logger)
  const fitting = current && current.hash === place.hash && current.signing === place.signing ? [current.ak] : []
  return {
    candidates: [...fitting, ...(other ? [other.ak] : [])],
    mismatch: (used) => (current === null || current.ak === used ? null : differenceOf(current, place)),
    keep: (ak) => writeAgentData(besideFile(file, place), { ...place, ak }),
    async settle(ak) {
      if (current?.ak === ak) return
      if (current) await writeAgentData(besideFile(file, current), current)
      else await keepUnreadable(file)
      await writeAgentData(file, { ...place, ak })
      await fs.rm(besideFile(file, place), { force: true })
    },
  }
}

function differenceOf(data: KeyPlace, place: KeyPlace): string {
  if (data.hash !== place.hash) return `for tpm_hash_alg = ${data.hash}, not ${place.hash}`
  if (data.signing !== place.signing) return `for tpm_signing_alg = ${data.signing}, not ${place.signing}`
  return 'for another TPM, or for another endorsement key of this one (are the TCTI and tpm_encryption_alg right?)'
}

const besideFile = (file: string, { ekHash, hash, signing }: KeyPlace) =>
  path.join(path.dirname(file), `${path.parse(file).name}-${ekHash.replace(/[^0-9a-f]/g, '').slice(0, 16)}-${hash}-${signing}.json`)

async function keepUnreadable(file: string): Promise<void> {
  await fs.rename(file, `${file}.unreadable`).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}
