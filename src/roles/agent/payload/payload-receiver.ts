import path from 'node:path'
import type { DeliveryProgress } from '../../../core/api/agent-info.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { type KeyShares, noShares, receiveShare, type ShareEffect, type ShareEvent } from '../../../core/payload/key-shares.ts'
import { openPayload } from '../../../core/payload/seal.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import type { SecureMount } from '../../../io/files/secure-mount.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { runScript, type ScriptResult } from '../../../io/programs/run-script.ts'
import type { RevocationInbox } from '../revocation/revocation-inbox.ts'
import { type DeliveryRecord, readDeliveryRecord, writeDeliveryRecord } from './delivery-record.ts'
import { ScriptHandover } from './script-handover.ts'
import { clearCutOff, type PayloadNames, type Unpacked, unpackPayload } from './unpack-payload.ts'

export interface PayloadReceiverOptions {
  agentId: string
  secure: SecureMount
  names: PayloadNames
  scriptTimeoutSeconds: number
  /** What a script still has when another delivery waits. */
  handoverSeconds: number
  /** False without TLS: the key is derived, the payload dropped (protocol 5.3). */
  allowed: boolean
  inbox: RevocationInbox
  env: NodeJS.ProcessEnv
  logger: Logger
}

const NO_DELIVERY: DeliveryProgress = { state: 'none', files: 0, script: 'none', script_exit: null, script_error: null, error: null }
const MAX_SCRIPT_OUTPUT = 1 << 20

/**
 * Takes key shares and does what follows: decrypts, unpacks, runs the script. Deliveries are worked off one after another in the background; nothing here
 * makes an HTTP request wait.
 */
export class PayloadReceiver {
  readonly #options: PayloadReceiverOptions
  readonly #stopping = new AbortController()
  #handover: ScriptHandover | null = null
  #waiting = 0
  #shares: KeyShares = noShares
  readonly #queue = createSerialQueue()
  #progress: Readonly<DeliveryProgress> = NO_DELIVERY
  /** Of the last delivery of which both shares came; null for none in this run. What earlier ones still do is not told of it. */
  #newest: string | null = null
  #watcher: ((progress: DeliveryProgress) => void) | null = null

  constructor(options: PayloadReceiverOptions) {
    this.#options = options
  }

  /** The last derived key, for `keys/verify`. */
  get key(): Buffer | null {
    return this.#shares.k
  }

  get progress(): DeliveryProgress {
    return this.#progress
  }

  /** @param watcher is told each step of a delivery. */
  watch(watcher: (progress: DeliveryProgress) => void): void {
    this.#watcher = watcher
  }

  /** Name of the delivery that is unpacked, or was before a restart; null for none. */
  get delivered(): string | null {
    return readDeliveryRecord(this.#options.secure.directory)?.delivery ?? null
  }

  /** After a restart: what an earlier run had unpacked but not started is run now; what it had started, never again. What it had half unpacked is told. */
  resume(): void {
    this.#enqueue(null, async () => {
      const { secure, names, inbox, logger } = this.#options
      const isCutOff = await clearCutOff(secure.directory, names)
      const record = readDeliveryRecord(secure.directory)
      const directory = path.join(secure.directory, 'unzipped')
      if (record) this.#tell(progressOf(record), record.delivery)
      if (record) inbox.payloadUnpacked(directory)
      if (record?.script === 'started') logger.warn('the script of the payload was running when the agent ended: it does not run again')
      if (record?.script === 'pending')
        await this.#runScript(
          { isArchive: true, directory, script: path.join(directory, names.script), files: record.files ?? 0 },
          record.delivery,
        )
      if (isCutOff) throw cutOff()
    })
  }

  receive(event: ShareEvent): void {
    const { state, effects } = receiveShare(this.#shares, event, this.#options.agentId)
    this.#shares = state
    for (const effect of effects) this.#perform(effect)
  }

  /** Resolves when all deliveries so far are done. */
  idle(): Promise<void> {
    return this.#queue.idle()
  }

  /** Ends a running script and waits for what is at work. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#queue.idle()
    this.#shares.k?.fill(0)
    for (const buffer of [...this.#shares.us.map((user) => user.share), ...this.#shares.vs]) buffer.fill(0)
    this.#shares = noShares
  }

  #perform(effect: ShareEffect): void {
    const { logger, allowed } = this.#options
    if (effect.do === 'no_match') logger.warn('HMAC check failed for all U and V key combinations')
    else if (effect.do === 'already_delivered') logger.info('the same delivery came again: it is already there')
    else if (effect.do === 'dropped_oldest') logger.warn(`too many ${effect.which.toUpperCase()} shares wait: the oldest is dropped`)
    else if (effect.do === 'forget') for (const buffer of effect.buffers) buffer.fill(0)
    else {
      logger.info('derived the key of a payload', { payload: effect.payload !== null })
      this.#newest = effect.delivery
      this.#tell({ ...NO_DELIVERY, state: allowed ? 'unpacking' : 'not_allowed' }, effect.delivery)
      if (!allowed) logger.warn('without TLS payloads are not accepted: switch enable_agent_mtls on, or enable_insecure_payload')
      else this.#startDelivery(Buffer.from(effect.k), effect.payload, effect.delivery)
    }
  }

  #startDelivery(k: Buffer, payload: string | null, delivery: string): void {
    this.#waiting++
    this.#handover?.begin()
    this.#enqueue(delivery, () => {
      this.#waiting--
      return this.#deliver(k, payload, delivery).finally(() => k.fill(0))
    })
  }

  #enqueue(delivery: string | null, work: () => Promise<void>): void {
    const { logger } = this.#options
    const failed = (error: Error) => {
      const hint = error instanceof KeylimeError ? error.hint : undefined
      this.#tell({ ...this.#progress, state: 'failed', error: error.message }, delivery)
      logger.error(`the payload could not be delivered: ${error.message}`, hint ? { hint } : {})
    }
    void this.#queue.run(() => work().catch(failed))
  }

  #tell(progress: DeliveryProgress, delivery: string | null): void {
    if (this.#newest !== null && delivery !== this.#newest) return
    this.#progress = progress
    this.#watcher?.(progress)
  }

  async #deliver(k: Buffer, sealed: string | null, delivery: string): Promise<void> {
    const { secure, names, inbox, logger } = this.#options
    secure.check()
    const record = readDeliveryRecord(secure.directory)
    if (record?.delivery === delivery) return this.#again(record)
    if (sealed === null) {
      await writeFileAtomic(path.join(secure.directory, names.key), k.toString('base64'), 0o600)
      this.#tell({ ...NO_DELIVERY, state: 'key_only' }, delivery)
      logger.info('the key is in the secure directory; no payload came with it', { file: names.key })
      return
    }
    const plaintext = openPayload(k, sealed)
    const unpacked = await unpackPayload(secure.directory, { k, plaintext, delivery }, names, logger).finally(() => plaintext.fill(0))
    this.#tell({ ...NO_DELIVERY, state: 'unpacked', files: unpacked.files, script: unpacked.script ? 'running' : 'none' }, delivery)
    logger.info('payload unpacked', { zip: unpacked.isArchive, files: unpacked.files, directory: unpacked.directory })
    inbox.payloadUnpacked(unpacked.directory)
    if (unpacked.script) await this.#runScript(unpacked, delivery)
  }

  /** A run of the agent before this one has unpacked it; `resume` has seen to its script. */
  #again(record: DeliveryRecord): void {
    this.#tell(progressOf(record), record.delivery)
    this.#options.logger.info('the same delivery came again after a restart: it is already there, and its script does not run again')
  }

  async #runScript({ directory, script, files }: Unpacked, delivery: string): Promise<void> {
    const { agentId, secure, scriptTimeoutSeconds, handoverSeconds, env, logger, names } = this.#options
    await writeDeliveryRecord(secure.directory, { delivery, script: 'started', files })
    const output = logger.child({ script: names.script })
    output.info('running the script of the payload')
    const handover = new ScriptHandover(handoverSeconds)
    this.#handover = handover
    if (this.#waiting > 0) handover.begin()
    const result = await runScript({
      file: script!,
      cwd: directory,
      env: { ...env, AGENT_UUID: agentId },
      timeLimitSeconds: scriptTimeoutSeconds,
      maxOutputBytes: MAX_SCRIPT_OUTPUT,
      onLine: (stream, line) => output.info(line, { stream }),
      signal: AbortSignal.any([this.#stopping.signal, handover.signal]),
    }).finally(() => handover.end())
    this.#handover = null
    const failed = scriptFailure(result, scriptTimeoutSeconds)
    await writeDeliveryRecord(secure.directory, { delivery, script: 'done', files, exit: result.exitCode, error: failed })
    this.#tell({ ...this.#progress, script: failed ? 'failed' : 'done', script_exit: result.exitCode, script_error: failed }, delivery)
    const facts = {
      seconds: Number(result.durationSeconds.toFixed(3)),
      ...(result.droppedBytes ? { droppedBytes: result.droppedBytes } : {}),
    }
    if (result.startError) output.error(`the script could not be started: ${result.startError}`, facts)
    else if (result.timedOut) output.error(`the script was killed after ${scriptTimeoutSeconds} s`, facts)
    else if (handover.signal.aborted) output.error(`the script was ended ${handoverSeconds} s after the next payload had come`, facts)
    else if (result.exitCode === 0) output.info('the script ended well', { exitCode: 0, ...facts })
    else
      output.warn('the script failed', {
        exitCode: result.exitCode,
        signal: result.signal,
        ...(result.reason ? { reason: result.reason } : {}),
        ...facts,
      })
  }
}

/** What can be said after a restart. */
const progressOf = ({ script, files = 0, exit = null, error = null }: DeliveryRecord): DeliveryProgress => ({
  ...NO_DELIVERY,
  state: 'unpacked',
  files,
  script: error !== null ? 'failed' : ({ none: 'none', pending: 'running', started: 'failed', done: 'done' } as const)[script],
  script_exit: exit,
  script_error: script === 'started' ? 'the agent ended while it ran' : error,
})

const cutOff = () =>
  new KeylimeError('conflict', 'the agent ended while it unpacked a payload, and its key is gone with it', {
    hint: 'deliver the payload again with `keylime tenant update`',
  })

/** Why the script did not end well, in short; null when it did. */
function scriptFailure({ exitCode, signal, timedOut, startError, reason }: ScriptResult, limitSeconds: number): string | null {
  if (startError) return `it could not be started: ${startError}`
  if (timedOut) return `it was killed after ${limitSeconds} s`
  if (exitCode === 0) return null
  return signal ? `it was ended by ${signal}` : `it ended with exit code ${exitCode}${reason ? `: ${reason}` : ''}`
}
