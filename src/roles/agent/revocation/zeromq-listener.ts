import { setTimeout as sleep } from 'node:timers/promises'
import { readRevocationNotification } from '../../../core/api/agent.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { type Subscription, subscribe } from '../../../io/zeromq/subscriber.ts'
import type { RevocationInbox } from './revocation-inbox.ts'

export interface ZeromqListenerOptions {
  host: string
  port: number
  inbox: RevocationInbox
  logger: Logger
}

/** As for the REST interface: a message may have 1 MiB, which JSON's escapes at most double. */
const MAX_BYTES = 2 << 20
const FULL_PAUSE_MS = 200

/** Takes notifications from the verifier's ZeroMQ publisher into the same queue as those by REST. While it is full, no more are read: they wait at the publisher. */
export async function listenOverZeromq({ host, port, inbox, logger }: ZeromqListenerOptions): Promise<Subscription> {
  const closing = new AbortController()
  const subscription = await subscribe({
    host,
    port,
    maxBytes: MAX_BYTES,
    logger,
    async take(bytes) {
      const { msg, signature, verifier_signature: verifierSignature } = readRevocationNotification(bytes)
      const accept = () => inbox.accept({ msg, signature: signature ?? '', ...(verifierSignature ? { verifierSignature } : {}) })
      let acceptance = accept()
      for (; acceptance === 'full'; acceptance = accept()) await sleep(FULL_PAUSE_MS, undefined, { signal: closing.signal })
      if (acceptance === 'no_key') return // whoever sends these must not hold up what comes behind them
      if (acceptance === 'too_long') throw new KeylimeError('payload_too_large', 'the revocation notification is too long')
    },
  })
  logger.info(`revocations are also taken over ZeroMQ from ${hostPort(host, port)}`)
  return {
    close() {
      closing.abort()
      return subscription.close()
    },
  }
}
