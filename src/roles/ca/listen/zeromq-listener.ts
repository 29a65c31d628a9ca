import { setTimeout as sleep } from 'node:timers/promises'
import { readRevocationNotification } from '../../../core/api/agent.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import { causeChain, isKeylimeError } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { type Subscription, subscribe } from '../../../io/zeromq/subscriber.ts'
import type { RevocationInbox } from './revocation-inbox.ts'

export interface ZeromqListenerOptions {
  readonly host: string
  readonly port: number
  readonly inbox: RevocationInbox
  readonly maxBytes: number
  readonly logger: Logger
}

const RETRY_MS = 1000

/** Takes the verifier's signed word over ZeroMQ. Nobody sends it again, so what cannot be written yet is tried here until it can; what comes after it waits. */
export async function listenOverZeromq({ host, port, inbox, maxBytes, logger }: ZeromqListenerOptions): Promise<Subscription> {
  const from = `zeromq ${host}:${port}`
  const closing = new AbortController()
  async function take(bytes: Buffer): Promise<void> {
    const notification = readRevocationNotification(bytes)
    for (;;) {
      try {
        return logger.info((await inbox.take(notification)).text, { from })
      } catch (error) {
        if (!isKeylimeError(error)) throw error
        logger.warn(`notification refused: ${causeChain(error).join(': ')}`, { from })
        if (error.code !== 'unavailable') return
        await sleep(RETRY_MS, undefined, { signal: closing.signal })
      }
    }
  }
  const subscription = await subscribe({ host, port, maxBytes, logger, take })
  logger.info(`revocations are also taken over ZeroMQ from ${hostPort(host, port)}`)
  return {
    close() {
      closing.abort()
      return subscription.close()
    },
  }
}
