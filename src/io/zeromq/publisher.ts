import { setTimeout as sleep } from 'node:timers/promises'
import type { XPublisher } from 'zeromq'
import { hostPort } from '../../core/api/host-port.ts'
import { createSerialQueue } from '../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../core/errors.ts'

export interface Publisher {
  /** The real one, when 0 was asked for. */
  readonly port: number
  /** Hands one text to everybody who subscribes. @throws KeylimeError `unreachable` when nobody does: a publisher keeps nothing for later. */
  publish(text: string): Promise<void>
  close(): void
}

/** Subscribers of a publisher that was restarted need a moment to come back: the library of most tries again after 100 ms. */
const SETTLE_MS = 1000
const LINGER_MS = 1000
/** Messages that wait for one slow subscriber; more are dropped for it alone. */
const WAITING = 10_000
const BIND_ATTEMPTS = 5
const BIND_PAUSE_MS = 100
/** What a subscriber may send: one byte and a topic. */
const MAX_TOPIC_BYTES = 256
const MAX_TOPICS = 100
/** What receivers of notices subscribe to: it has a place, however many topics a stranger takes. */
const EVERYTHING = ''

/**
 * Serves ZeroMQ subscribers on a TCP port (protocol 6.3): each message is one frame, there is no topic. It does not know who they are, only whether
 * somebody is there. @throws KeylimeError `address_in_use`.
 */
export async function openPublisher(host: string, port: number, settleMs = SETTLE_MS): Promise<Publisher> {
  const zeromq = await import('zeromq') // only when it is configured: 20 ms and 2 MB
  const socket = new zeromq.XPublisher({
    ipv6: host.includes(':'),
    linger: LINGER_MS,
    sendHighWaterMark: WAITING,
    maxMessageSize: MAX_TOPIC_BYTES,
    tcpKeepalive: 1,
  })
  await bind(socket, `tcp://${hostPort(host, port)}`).catch((cause: Error) => {
    socket.close()
    throw new KeylimeError('address_in_use', `cannot serve ZeroMQ subscribers on ${hostPort(host, port)}: ${cause.message}`, {
      cause,
      hint: 'choose another zmq_ip or zmq_port, or take zeromq out of enabled_revocation_notifications',
    })
  })
  const endpoint = socket.lastEndpoint!
  const topics = new Set<string>()
  // Ends with the socket. What else could end it leaves the topics as they are: messages are then sent to whoever had come.
  void follow(socket, topics).catch(() => undefined)
  const sending = createSerialQueue(sleep(settleMs, undefined, { ref: false }))
  const send = async (text: string) => {
    if (![...topics].some((topic) => text.startsWith(topic)))
      throw new KeylimeError('unreachable', `nobody subscribes to ${endpoint}`, {
        hint: 'subscribers are looked for again until it is given up',
      })
    await socket.send(text)
  }
  return {
    port: Number(endpoint.slice(endpoint.lastIndexOf(':') + 1)),
    publish: (text) => sending.run(() => send(text)), // one at a time: the socket refuses a second send that would wait
    close: () => socket.close(),
  }
}

/** The library frees a port some time after its socket was closed: a publisher that is opened again right away finds it taken. */
async function bind(socket: XPublisher, endpoint: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await socket.bind(endpoint)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === BIND_ATTEMPTS) throw error
      await sleep(BIND_PAUSE_MS)
    }
  }
}

/** Keeps what is subscribed to: a message of 1 and the topic comes with the first subscriber, 0 and the topic when the last one leaves. */
async function follow(socket: XPublisher, topics: Set<string>): Promise<void> {
  for await (const [message] of socket) {
    if (!message) continue
    const topic = message.toString('utf8', 1)
    if (message[0] === 0) topics.delete(topic)
    else if (message[0] === 1 && (topic === EVERYTHING || topics.size < MAX_TOPICS)) topics.add(topic)
  }
}
