import { createSerialQueue } from '../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../core/errors.ts'
import { type PublicArea, parsePublicArea } from '../../core/tpm/public-area.ts'
import type { Logger } from '../log/logger.ts'
import { type AkKind, createAk, loadAk } from './ak.ts'
import { closeEk, type EndorsementKey, openEk } from './ek.ts'
import { isForeignBlob, isLostObject, type KeyBlob, type Tpm, type TpmHandle } from './tpm.ts'

export interface LoadedKeys {
  tpm: Tpm
  ek: EndorsementKey
  ak: TpmHandle
}

export interface AttestationKeysOptions {
  tpm: Tpm
  kind: AkKind
  /** `ek_handle` of the configuration. */
  ekHandle: number | undefined
  /** AKs of earlier runs that may be for this endorsement key, the likeliest first. */
  savedAks(ek: PublicArea): Promise<readonly KeyBlob[]>
  logger: Logger
}

/**
 * The EK and the AK of an agent. Handles live only as long as one connection to a TPM that is not restarted; so they are lent for the time of one
 * piece of work, one at a time, and made again when they are lost.
 */
export class AttestationKeys {
  readonly akBlob: KeyBlob
  readonly ekPublic: Buffer
  readonly ekArea: PublicArea
  /** True when no saved AK was of use. */
  readonly akIsNew: boolean
  readonly #options: AttestationKeysOptions
  readonly #uses = createSerialQueue()
  #loaded: LoadedKeys | null
  #generation = 1

  private constructor(options: AttestationKeysOptions, loaded: LoadedKeys, { akBlob, akIsNew }: { akBlob: KeyBlob; akIsNew: boolean }) {
    this.#options = options
    this.#loaded = loaded
    this.akBlob = akBlob
    this.akIsNew = akIsNew
    this.ekPublic = loaded.ek.public
    this.ekArea = loaded.ek.area
  }

  static async open(options: AttestationKeysOptions): Promise<AttestationKeys> {
    const { tpm, kind } = options
    const ek = await openEk(tpm, kind.kind, options.ekHandle)
    for (const akBlob of await options.savedAks(ek.area)) {
      const ak = await tryLoad(options, ek, akBlob)
      if (ak) return new AttestationKeys(options, { tpm, ek, ak }, { akBlob, akIsNew: false })
    }
    const akBlob = await createAk(tpm, ek, kind)
    return new AttestationKeys(options, { tpm, ek, ak: await loadAk(tpm, ek, akBlob) }, { akBlob, akIsNew: true })
  }

  get akArea(): PublicArea {
    return parsePublicArea(this.akBlob.public)
  }

  /** How often the keys were loaded: grows with every recovery. */
  get generation(): number {
    return this.#generation
  }

  /**
   * Runs `work` with loaded keys, alone. When the TPM was restarted or the connection broke, the keys are loaded again and `work` runs once more: it
   * must be a piece of work that may be repeated.
   */
  use<T>(work: (keys: LoadedKeys) => Promise<T>): Promise<T> {
    return this.#uses.run(async () => {
      try {
        return await work(await this.#keys())
      } catch (error) {
        if (!isLostObject(error)) throw error
        this.#options.logger.warn('the TPM lost its keys (restarted, or the connection broke): loading them again', {
          reason: (error as Error).message,
        })
        this.#loaded = null
        return work(await this.#keys())
      }
    })
  }

  async #keys(): Promise<LoadedKeys> {
    if (this.#loaded) return this.#loaded
    const { tpm, kind, ekHandle } = this.#options
    await tpm.startup()
    await tpm.flushLeaked()
    const ek = await openEk(tpm, kind.kind, ekHandle)
    if (!ek.public.equals(this.ekPublic)) {
      await closeEk(tpm, ek)
      throw new KeylimeError('tpm_failed', 'the TPM has another endorsement key than at start: it was cleared, or it is another TPM', {
        hint: 'restart the agent; then register and enrol the machine again',
      })
    }
    this.#loaded = { tpm, ek, ak: await loadAk(tpm, ek, this.akBlob) }
    this.#generation++
    return this.#loaded
  }

  /** Frees the TPM's slots. */
  close(): Promise<void> {
    return this.#uses.run(async () => {
      if (!this.#loaded) return
      const { tpm, ek, ak } = this.#loaded
      this.#loaded = null
      await tpm.flush(ak).catch(() => {})
      await closeEk(tpm, ek).catch(() => {})
    })
  }
}

async function tryLoad({ tpm, logger }: AttestationKeysOptions, ek: EndorsementKey, blob: KeyBlob): Promise<TpmHandle | undefined> {
  try {
    return await loadAk(tpm, ek, blob)
  } catch (error) {
    if (!isForeignBlob(error)) throw error
    logger.warn('a saved attestation key belongs to another TPM or endorsement key: it is not used')
    return undefined
  }
}
