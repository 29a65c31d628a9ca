import { coalesced } from '../../core/concurrency/coalesced.ts'
import { causeChain } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import type { MarkKeeper } from './database-mark.ts'

/** Brings the mark beside a database up to it, for all who ask meanwhile. Never throws: that it cannot is logged once, until it can again. */
export function recordMark(mark: Pick<MarkKeeper, 'record'>, logger: Pick<Logger, 'error'>): () => Promise<void> {
  let isTold = false
  return coalesced(async () => {
    try {
      await mark.record()
      isTold = false
    } catch (error) {
      if (!isTold) logger.error(`cannot tell whether this database is an older one: ${causeChain(error).join(': ')}`)
      isTold = true
    }
  })
}
