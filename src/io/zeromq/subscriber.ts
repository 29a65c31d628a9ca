import { setTimeout as sleep } from 'node:timers/promises'
import type { Subscriber } from 'zeromq'
import { hostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'

export interface SubscriptionOptions {
  host: string
  port: number
  /** A longer message is not read, and ends the connection, which is then made anew. */
  maxBytes: number
  logger: Logger
  /** Takes one message, bytes of a stranger. The next one is read when it returns; what it throws is logged. */
  take(message: Buffer): Promise<void>
}

export interface Subscription {
  close(): Promise<void>
}

const HEARTBEAT_MS = 10_000
const DEAD_AFTER_MS = 30_000
const MAX_RECONNECT_MS = 10_000
const RECONNECT_MS = 200

/**
 * Subscribes to all that a publisher sends, for ever: a lost connection is made again. Returns at once, whether the publisher is there or not.
 * @throws KeylimeError `config_invalid` for a host that is none.
 */
export async function subscribe(options: SubscriptionOptions): Promise<Subscription> {
  const zeromq = await import('zeromq') // only when it is configured: 20 ms and 2 MB
  const socket = new zeromq.Subscriber({
    ipv6: options.host.includes(':'),
    linger: 0,
    maxMessageSize: options.maxBytes,
    reconnectMaxInterval: MAX_RECONNECT_MS,
    heartbeatInterval: HEARTBEAT_MS,
    heartbeatTimeout: DEAD_AFTER_MS,
  })
  const endpoint = `tcp://${hostPort(options.host, options.port)}`
  try {
    socket.connect(endpoint)
  } catch (cause) {
    socket.close()
    throw new KeylimeError('config_invalid', `cannot subscribe to ${endpoint}: ${(cause as Error).message}`, {
      cause,
      hint: 'correct revocation_notification_ip',
    })
  }
  socket.subscribe()
  const broken = (error: Error) => {
    if (!socket.closed) options.logger.error(`the subscription to ${endpoint} has broken: ${error.message}`)
  }
  void keepConnected(socket, endpoint, options.logger).catch(broken)
  const reading = readAll(socket, options).catch(broken)
  return {
    async close() {
      socket.close()
      await reading
    },
  }
}

/** The library connects again by itself, but not when the other side broke the protocol, for example by a message that is too long. */
async function keepConnected(socket: Subscriber, endpoint: string, logger: Logger): Promise<void> {
  for await (const { type } of socket.events) {
    if (type === 'handshake') logger.info(`subscribed to ${endpoint}`)
    if (type !== 'disconnect' || socket.closed) continue
    logger.warn(`the connection to ${endpoint} ended, and is made again`)
    await sleep(RECONNECT_MS, undefined, { ref: false })
    if (socket.closed) return
    try {
      socket.disconnect(endpoint)
    } catch {} // it was given up already
    socket.connect(endpoint)
  }
}

async function readAll(socket: Subscriber, { take, logger }: SubscriptionOptions): Promise<void> {
  for await (const frames of socket) {
    const [message] = frames
    if (frames.length !== 1 || !message) {
      logger.warn(`a ZeroMQ message of ${frames.length} frames is left: a notification has one`)
      continue
    }
    try {
      await take(message)
    } catch (error) {
      logger.warn(`a ZeroMQ message is left: ${(error as Error).message}`)
    }
  }
}
