import { errorDocument, JSON_API_TYPE } from '../../core/api/push/json-api.ts'
import { type RateLimit, RateLimiter } from '../../core/concurrency/rate-limiter.ts'
import { causeChain, httpStatusOf, isKeylimeError } from '../../core/errors.ts'
import { systemHint } from '../../core/system-failure.ts'
import type { Logger } from '../log/logger.ts'
import { peerNetwork } from './peer-network.ts'
import type { ApiReply } from './route.ts'

export interface FailedRequest {
  /** Method and path. */
  line: string
  from: string
  /** It showed a certificate of ours. */
  isCertified: boolean
  isJsonApi: boolean
}

/** Lines about requests of strangers: whoever sends what is refused must not fill the disk. */
const TOLD: RateLimit = { ofPeer: { perSecond: 0.5, burst: 60 }, ofAll: { perSecond: 5, burst: 600 } }

/** Tells of requests that failed, and answers them. Of strangers only so many are told; the next line says how many were not. */
export function failedRequests(logger: Logger): (error: unknown, asked: FailedRequest) => ApiReply {
  const limiter = new RateLimiter(TOLD)
  let untold = 0

  function tell(text: string, { from, isCertified }: FailedRequest, status: number): void {
    if (!isCertified && limiter.take(peerNetwork(from), performance.now()) > 0) {
      untold++
      logger.debug(text, { status, from })
      return
    }
    logger.info(text, { status, from, ...(untold > 0 ? { not_told_before: untold } : {}) })
    untold = 0
  }

  return (error, asked) => {
    if (isKeylimeError(error)) {
      const status = httpStatusOf(error.code)
      tell(`${asked.line}: ${causeChain(error).join(': ')}`, asked, status)
      if (asked.isJsonApi)
        return { status, raw: { type: JSON_API_TYPE, body: errorDocument([{ status, ...codeOf(status), detail: error.message }]) } }
      return { status, message: error.message }
    }
    const hint = systemHint(error)
    if (hint) logger.error(`${asked.line}: ${causeChain(error).join(': ')}`, { hint })
    else logger.error(`${asked.line}: unexpected error`, { stack: error instanceof Error ? error.stack : String(error) })
    return { status: 500 }
  }
}

const codeOf = (status: number) => (status === 400 ? { code: 'invalid_request' } : {})
