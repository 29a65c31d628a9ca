import path from 'node:path'
import { createEventStream, type EventStream } from '../../../core/events/event-stream.ts'
import { type AuditLog, openAuditLog } from '../../../io/audit/audit-log.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { logConsumer } from './log-consumer.ts'

export interface Events {
  readonly stream: EventStream
  /** Returns when every event that was raised before is in the audit log, or cannot be written there now. Never throws. */
  flush(): Promise<void>
  /** Ends the audit log: raise `verifier_stopped` before. */
  stop(): Promise<void>
}

export interface EventsOptions {
  /** `audit_log`, `audit_log_max_size` and the directory to which the file refers. */
  values: { audit_log: string; audit_log_max_size: number }
  keylimeDir: string
  clock: Clock
  logger: Logger
}

/** The stream of events with its consumers: the log, and the audit log. SIGHUP lets the audit log look for its file. @throws KeylimeError when that cannot be written. */
export async function startEvents({ values, keylimeDir, clock, logger }: EventsOptions): Promise<Events> {
  const now = () => clock.now()
  const stream = createEventStream({
    now,
    failed(consumer, error) {
      const stack = error instanceof Error ? error.stack : String(error)
      logger.error(consumer === null ? 'an event could not be raised' : `an event could not be told to ${consumer}`, { stack })
    },
  })
  stream.subscribe('log', logConsumer(logger))
  if (values.audit_log === '') {
    logger.warn('no audit log is written: audit_log is empty')
    return { stream, flush: async () => {}, stop: async () => {} }
  }
  const file = path.resolve(keylimeDir, values.audit_log)
  const audit = await openAuditLog({ file, maxBytes: values.audit_log_max_size, now, logger })
  stream.subscribe('audit log', audit.consume)
  return { stream, flush: () => audit.flush(), stop: untilStopped(audit) }
}

function untilStopped(audit: AuditLog): () => Promise<void> {
  const reopen = () => void audit.reopen()
  process.on('SIGHUP', reopen)
  return async () => {
    await audit.stop()
    process.off('SIGHUP', reopen)
  }
}
