import type { NowOrLater } from '../../core/concurrency/now-or-later.ts'
import type { RateLimit } from '../../core/concurrency/rate-limiter.ts'
import type { ApiReply, Route } from '../http/route.ts'
import { type Listening, serve } from '../http/server.ts'
import type { Logger } from '../log/logger.ts'
import type { Metrics } from './metrics.ts'

export interface MetricsListenerOptions {
  host: string
  port: number
  metrics: Pick<Metrics, 'text'>
  /** Why the service cannot do its work now, each as a sentence; empty when it can. */
  notReady(): NowOrLater<readonly string[]>
  logger: Logger
}

/** A scrape reads the state of every machine: some a second are plenty. */
const RATE: RateLimit = { ofPeer: { perSecond: 10, burst: 30 }, ofAll: { perSecond: 50, burst: 100 } }
const PLAIN = 'text/plain; charset=utf-8'

/** What is asked of a service from outside, on a listener of its own: nothing here names a machine, and nothing changes anything. Plain HTTP. */
export function metricsRoutes({ metrics, notReady }: Pick<MetricsListenerOptions, 'metrics' | 'notReady'>): Route[] {
  const open = { method: 'GET', access: 'public', plainHttp: true, rate: RATE } as const
  return [
    { ...open, path: '/metrics', handle: async () => ({ raw: await metrics.text() }) },
    { ...open, path: '/healthz', handle: () => plain(200, ['ok']) },
    {
      ...open,
      path: '/readyz',
      async handle() {
        const reasons = await notReady()
        return reasons.length === 0 ? plain(200, ['ready']) : plain(503, reasons)
      },
    },
  ]
}

const plain = (status: number, lines: readonly string[]): ApiReply => ({
  status,
  raw: { type: PLAIN, body: `${lines.join('\n')}\n` },
})

/** @throws KeylimeError `address_in_use`. */
export function serveMetrics({ host, port, logger, ...asked }: MetricsListenerOptions): Promise<Listening> {
  return serve({ host, port, routes: metricsRoutes(asked), versions: [], keepAliveSeconds: 60, logger })
}
