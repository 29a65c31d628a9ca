import { Agent, type Dispatcher, ProxyAgent } from 'undici'
import { KeylimeError } from '../../core/errors.ts'
import { systemClock } from '../clock.ts'
import { dateTrouble } from './date-trouble.ts'
import { transportError } from './transport-error.ts'

export interface WebhookIdentity {
  /** Client certificate, as towards agents, PEM. */
  cert: string
  key: string
  keyPassword?: string
  /** CAs of the receiver, PEM. */
  ca: string[]
}

export interface WebhookOptions extends WebhookIdentity {
  url: string
  /** Sent as `Authorization: Bearer …`; empty: none. */
  token?: string
  /** URL of an HTTP proxy; empty: none. */
  proxy?: string
  timeoutSeconds: number
}

export interface Webhook {
  post(body: unknown): Promise<void>
  /** Other certificates from the next request on. */
  renew(identity: WebhookIdentity): void
  close(): Promise<void>
}

/** At once: notices that a receiver does not answer must not each keep a connection of their own. The others wait, and their time begins with their turn. */
const MAX_POSTS = 32

/** Posts JSON to one URL over kept connections. Any 2xx means taken; upstream says that only of 200 and 202 (protocol 6.3). @throws KeylimeError otherwise; `config_invalid` for what is no URL. */
export function openWebhook(options: WebhookOptions): Webhook {
  const url = webhookUrl(options.url)
  const proxy = options.proxy ?? ''
  let { cert, ca } = options
  let agent = agentWith(options, proxy)
  /** What is under way with certificates of before ends with it, too. */
  const ending = new AbortController()
  const inTurn = createPlaces(MAX_POSTS)
  return {
    post: (body) => inTurn(() => send(body)),
    renew(identity) {
      const before = agent
      agent = agentWith(identity, proxy)
      cert = identity.cert
      ca = identity.ca
      void before.close()
    },
    close() {
      ending.abort()
      return agent.destroy()
    },
  }

  async function send(body: unknown): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(options.timeoutSeconds * 1000), ending.signal])
    const headers = { 'content-type': 'application/json', ...(options.token ? { authorization: `Bearer ${options.token}` } : {}) }
    const request = {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers,
      signal,
      body: JSON.stringify(body),
    } as const
    const where = `webhook ${url.origin}`
    const response = await agent.request(request).catch(async (error) => {
      const address = proxy === '' ? { address: { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 443) } } : {}
      throw (await dateTrouble(error, { where, cert, ca, ...address }, systemClock.now())) ?? transportError(error, where)
    })
    await response.body.dump()
    if (response.statusCode < 200 || response.statusCode > 299)
      throw new KeylimeError('refused', `webhook ${url.origin} answered ${response.statusCode}`)
  }
}

/** So many run at once; the others wait for their turn, the first one first. */
function createPlaces(count: number): (work: () => Promise<void>) => Promise<void> {
  let free = count
  const waiting: (() => void)[] = []
  return async (work) => {
    if (free > 0) free--
    else await new Promise<void>((go) => waiting.push(go))
    try {
      await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else free++
    }
  }
}

function agentWith({ cert, key, ca, keyPassword }: WebhookIdentity, proxy: string): Dispatcher {
  const identity = { cert, key, ca, ...(keyPassword ? { passphrase: keyPassword } : {}) }
  const tls = { ...identity, rejectUnauthorized: true, minVersion: 'TLSv1.2', maxCachedSessions: 0 } as never
  return proxy === '' ? new Agent({ connect: tls }) : new ProxyAgent({ uri: proxy, requestTls: tls })
}

function webhookUrl(text: string): URL {
  const url = URL.parse(text)
  if (url && ['http:', 'https:'].includes(url.protocol)) return url
  throw new KeylimeError('config_invalid', `webhook_url is "${text}", which is not an http or https URL`, {
    hint: 'write it whole, such as https://10.0.0.1:38080/revocations',
  })
}
