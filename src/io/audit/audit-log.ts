import fs from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asciiJson } from '../../core/audit/audit-line.ts'
import { causeChain, KeylimeError } from '../../core/errors.ts'
import type { EventConsumer } from '../../core/events/event-stream.ts'
import type { Logger } from '../log/logger.ts'
import { nativeAddon } from '../native/native-addon.ts'
import { openChainFile } from './chain-file.ts'
import { createEntryQueue } from './entry-queue.ts'

export interface AuditLog {
  /** Takes an event; it is on the disk a few milliseconds later. */
  readonly consume: EventConsumer
  /** Returns when every event that was taken before is on the disk, or cannot be written now (then it waits, and that was logged). Never throws. */
  flush(): Promise<void>
  /** Looks whether the file was renamed, and then begins a new one. */
  reopen(): Promise<void>
  /** Writes what waits, as far as that goes, and lets go of the file. */
  stop(): Promise<void>
}

export interface AuditLogOptions {
  file: string
  /** A file that is larger is renamed to FILE.NUMBER-OF-ITS-LAST-LINE; 0: never. */
  maxBytes: number
  /** Milliseconds since the epoch. */
  now(): number
  logger: Logger
}

const RETRY_MS = 1000

/**
 * The audit log: one file, one JSON line an event, each with the hash of the line before. Events that come while the disk takes none wait, up to a bound;
 * beyond it they are counted, and the line that can be written next says how many are lost. Nobody has to wait for it.
 * @throws KeylimeError `file_failed`; `conflict` when another process writes it.
 */
export async function openAuditLog({ file, maxBytes, now, logger }: AuditLogOptions): Promise<AuditLog> {
  const unlock = await lock(file)
  const chainFile = await openChainFile({ file, maxBytes, now, logger }).catch(async (error) => {
    await unlock()
    throw error
  })
  const queue = createEntryQueue()
  let running: Promise<void> | null = null
  let retry: NodeJS.Timeout | null = null
  let failing = false
  let stopped = false

  async function commit(): Promise<void> {
    await nextTurn() // all events of one turn go into one write
    try {
      do {
        await chainFile.ready()
        await chainFile.append(queue.take())
      } while (queue.size > 0)
      if (failing) logger.warn(`audit log ${file} is written again`)
      failing = false
    } catch (error) {
      if (!failing) logger.error(`audit log ${file} cannot be written, events wait: ${causeChain(error).join(': ')}`)
      failing = true
      if (!stopped) retry ??= setTimeout(again, RETRY_MS).unref()
    }
    running = null
  }

  function again(): void {
    retry = null
    void run()
  }

  const run = (): Promise<void> => {
    running ??= commit()
    return running
  }

  logger.info(`audit log ${file} continues after line ${chainFile.head.seq}`, { hash: chainFile.head.hash })
  return {
    consume({ at, event }) {
      if (stopped) return
      queue.add({ at, json: asciiJson(event) })
      if (!failing) void run()
    },
    async flush() {
      if (running) await running
      if (queue.size > 0 && !stopped) await run()
    },
    async reopen() {
      if (running) await running
      if (!stopped) await run()
    },
    async stop() {
      if (stopped) return
      if (running) await running
      await run()
      stopped = true
      if (retry) clearTimeout(retry)
      if (queue.size > 0 || failing)
        logger.error(`audit log ${file}: the last events could not be written and are lost`, { waiting: queue.events })
      await chainFile.close()
      await unlock()
    },
  }
}

/** A file of its own: the log itself may be renamed. The kernel releases the lock when the process ends, however it ends. */
async function lock(file: string): Promise<() => Promise<void>> {
  const name = `${file}.lock`
  const handle = await fs.open(name, 'a', 0o600).catch((cause: Error) => {
    throw new KeylimeError('file_failed', `cannot open ${name}: ${cause.message}`, { cause, hint: 'look at audit_log in verifier.conf' })
  })
  if (nativeAddon().tryLock(handle.fd)) return () => handle.close()
  await handle.close()
  throw new KeylimeError('conflict', `another process writes the audit log ${file}`, {
    hint: 'a verifier is running already; a second one needs its own KEYLIME_DIR, or another audit_log',
  })
}
